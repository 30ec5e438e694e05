import type { FailureRecord } from "../mesh/records.ts";
import type { Clock } from "../runtime/clock.ts";

/** How long a role is not given to this host again after its first failure here; doubled with each further one. */
const FIRST_MS = 30_000;
const DOUBLINGS_MAX = 7;

interface Failure {
  readonly record: FailureRecord;
  readonly untilMs: number;
  readonly times: number;
}

/** What could not run on this host, of which the coordinator is told for a while. */
export class UnitFailures {
  readonly #clock: Clock;
  readonly #byRole = new Map<FailureRecord["role"], Failure>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(record: FailureRecord): void {
    const times = (this.#byRole.get(record.role)?.times ?? 0) + 1;
    const untilMs = this.#clock.now() + FIRST_MS * 2 ** Math.min(times - 1, DOUBLINGS_MAX);
    this.#byRole.set(record.role, { record, untilMs, times });
  }

  get present(): FailureRecord[] {
    const nowMs = this.#clock.now();
    return [...this.#byRole.values()].filter(({ untilMs }) => untilMs >= nowMs).map(({ record }) => record);
  }
}
