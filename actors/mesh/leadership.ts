import type * as v from "valibot";
import { RevisionConflictError } from "../../transport/errors.ts";
import { encodeJson, parseJson } from "../messages.ts";
import { type MeshLink, repeat } from "./mesh-link.ts";
import { DEAD_MS, KEYS, LEASE_MS, leaderSchema, RENEW_EVERY_MS } from "./records.ts";

type LeaderRecord = v.InferOutput<typeof leaderSchema>;

interface Seen {
  readonly revision: number;
  /** Since when the record has stood as it is, by the own clock. */
  readonly sinceMs: number;
}

/**
 * Election by one record that its holder renews: whoever sees it unchanged for longer than a lease takes
 * it by compare-and-set. The holder gives up by its own clock before that, so two never lead at once.
 */
export class Leadership {
  readonly #link: MeshLink;
  readonly #who: { readonly host: string; readonly instance: string };
  readonly #onChange: (leads: boolean) => void;
  readonly #stopRepeating: (() => void)[];
  #revision: number | undefined;
  #term = 0;
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  #seen: Seen | undefined;

  constructor(link: MeshLink, who: { host: string; instance: string }, onChange: (leads: boolean) => void) {
    this.#link = link;
    this.#who = who;
    this.#onChange = onChange;
    void this.#step();
    this.#stopRepeating = [
      repeat(link.clock, RENEW_EVERY_MS / 2, () => this.#step()),
      repeat(link.clock, RENEW_EVERY_MS / 4, () => this.#expire()),
    ];
  }

  /** Checked when asked: a process that was paused does not lead any more. */
  get leads(): boolean {
    return this.#revision !== undefined && this.#link.clock.now() < this.#leaseUntilMs;
  }

  async stop(): Promise<void> {
    for (const stop of this.#stopRepeating) stop();
    const revision = this.#revision;
    this.#resign();
    // So that the next one need not wait.
    if (revision !== undefined) await this.#link.store.remove(KEYS.leader, revision).catch(() => {});
  }

  #expire(): void {
    if (this.#revision !== undefined && !this.leads) this.#resign();
  }

  #resign(): void {
    if (this.#revision === undefined) return;
    this.#revision = undefined;
    this.#seen = undefined;
    this.#onChange(false);
  }

  async #step(): Promise<void> {
    try {
      if (this.#revision === undefined) await this.#stand();
      else await this.#renew(this.#revision);
    } catch (error) {
      if (error instanceof RevisionConflictError) this.#resign();
      else this.#link.log.write("debug", "the leader's record can't be reached", { error });
    }
  }

  async #renew(revision: number): Promise<void> {
    const { store, clock } = this.#link;
    const begunMs = clock.now();
    const renewed = await store.update(KEYS.leader, this.#record(this.#term), revision);
    if (this.#revision !== revision) return;
    this.#revision = renewed;
    this.#leaseUntilMs = begunMs + LEASE_MS;
  }

  async #stand(): Promise<void> {
    const { store, clock } = this.#link;
    const begunMs = clock.now();
    const entry = await store.get(KEYS.leader);
    if (entry === undefined) {
      this.#lead(await store.create(KEYS.leader, this.#record(1)), 1, begunMs);
      return;
    }
    const { revision, value } = entry;
    if (this.#seen?.revision !== revision) {
      this.#seen = { revision, sinceMs: clock.now() };
      return;
    }
    if (begunMs - this.#seen.sinceMs < DEAD_MS) return;
    const last: LeaderRecord = parseJson(leaderSchema, { subject: KEYS.leader, body: value });
    const term = last.term + 1;
    this.#lead(await store.update(KEYS.leader, this.#record(term), revision), term, begunMs);
  }

  #lead(revision: number, term: number, begunMs: number): void {
    this.#revision = revision;
    this.#term = term;
    this.#leaseUntilMs = begunMs + LEASE_MS;
    this.#onChange(true);
  }

  #record(term: number): Uint8Array {
    return encodeJson({ ...this.#who, term } satisfies LeaderRecord);
  }
}
