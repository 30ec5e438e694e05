import type { Clock } from "./runtime/clock.ts";

/**
 * Replays, and time, without one commit, after which a session fails with an error. Both must be used up: where
 * messages are lost, many quick replays may fail before a long prompt passes whole.
 */
const FRUITLESS_REPLAYS_MAX = 16;
const FRUITLESS_MS = 120_000;

/** How long a session goes on replaying when nothing comes of it. */
export class ReplayPatience {
  readonly #clock: Clock;
  #replays = 0;
  #renewedAtMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#renewedAtMs = clock.now();
  }

  /** A token has come, or the pipeline is another one. */
  renew(): void {
    this.#replays = 0;
    this.#renewedAtMs = this.#clock.now();
  }

  /** One more replay; false when it is one too many. Those that are not the pipeline's fault are not counted. */
  allows(isPipelinesFault: boolean): boolean {
    if (isPipelinesFault) this.#replays++;
    const fruitlessMs = this.#clock.now() - this.#renewedAtMs;
    return this.#replays <= FRUITLESS_REPLAYS_MAX || fruitlessMs <= FRUITLESS_MS;
  }
}
