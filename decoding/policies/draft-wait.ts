import type { PolicyView } from "./policy.ts";

/** What is believed before anything was seen. */
const FIRST_WAIT_MS = 3;
const FIRST_HIT_SHARE = 0.6;
/** Weight of the newest observation. */
const NEWEST = 0.1;
/** Children that would leave together with the root. */
const COMPANY = 4;
/** A drafter that takes this many times as long as usual is not waited for. */
const PATIENCE = 3;

/**
 * Whether a corrected root should wait for its children. Where a segment of several nodes takes hardly longer
 * than one, a child that leaves with the root saves a slot whenever it is right; the wait delays everything.
 */
export class DraftWait {
  #waitMs = FIRST_WAIT_MS;
  #hitShare = FIRST_HIT_SHARE;
  #askedAtMs: number | undefined;

  rootMoved(hit: boolean): void {
    this.#hitShare += NEWEST * ((hit ? 1 : 0) - this.#hitShare);
    this.#askedAtMs = undefined;
  }

  /** The drafter was asked for the root's children. */
  asked(nowMs: number): void {
    this.#askedAtMs = nowMs;
  }

  /** The first of them are there. */
  came(nowMs: number): void {
    if (this.#askedAtMs === undefined) return;
    this.#waitMs += NEWEST * (nowMs - this.#askedAtMs - this.#waitMs);
    this.#askedAtMs = undefined;
  }

  /** When to look again, if an unsent root should wait; undefined when it should leave. */
  holdUntilMs({ tree, drafting, nowMs, costs }: PolicyView): number | undefined {
    const { root } = tree;
    if (root.sent || root.children.size > 0 || !drafting || this.#askedAtMs === undefined) return undefined;
    const endMs = this.#askedAtMs + PATIENCE * this.#waitMs;
    const restMs = Math.max(0, this.#askedAtMs + this.#waitMs - nowMs);
    const lossMs = restMs + costs.totalMs(1 + COMPANY) - costs.totalMs(1);
    const pays = this.#hitShare * costs.slowestMs(1) > lossMs;
    return pays && nowMs < endMs ? endMs : undefined;
  }
}
