import { type SegmentCosts, segmentMs } from "../decoding/costs.ts";

/** The part of a clock that a pace needs. */
export interface PaceClock {
  /** Monotonic milliseconds, with fractions. */
  now(): number;
  setTimer(ms: number, callback: () => void): () => void;
}

/** How well the real work fitted into the pace so far. */
export interface PaceFit {
  readonly segments: number;
  /** Of them, those whose real work took more than `TIGHT_SHARE` of the pace, though not all of it. */
  readonly tight: number;
  /** Those that took longer than the device would have: they were late. */
  readonly late: number;
}

/** Real work up to this share of the pace leaves the other stages of a small machine undisturbed. */
export const TIGHT_SHARE = 0.6;

/**
 * Makes a stage as slow as another device: what it computes is real, but a segment of n nodes is held back
 * until the device's time for n nodes has passed. For measurements on a machine with fewer cores than
 * stages: as long as the real work fits well inside the pace, stages do not disturb each other.
 */
export class Pace {
  readonly costs: SegmentCosts;
  readonly #clock: PaceClock;
  #segments = 0;
  #tight = 0;
  #late = 0;

  constructor(costs: SegmentCosts, clock: PaceClock) {
    this.costs = costs;
    this.#clock = clock;
  }

  get fit(): PaceFit {
    return { segments: this.#segments, tight: this.#tight, late: this.#late };
  }

  /** Resolves when the device is done with `nodes` nodes that it began at `beginMs` of the clock. */
  async hold(nodes: number, beginMs: number): Promise<void> {
    if (nodes === 0) return;
    const paceMs = segmentMs(this.costs, nodes);
    const spentMs = this.#clock.now() - beginMs;
    this.#segments++;
    if (spentMs > paceMs) this.#late++;
    else if (spentMs > paceMs * TIGHT_SHARE) this.#tight++;
    if (spentMs >= paceMs) return;
    await new Promise<void>((resolve) => {
      this.#clock.setTimer(paceMs - spentMs, resolve);
    });
  }
}
