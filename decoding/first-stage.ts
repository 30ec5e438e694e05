import type { PipelineCosts } from "./costs.ts";

/** What is known, or foreseen, of the first stage at this moment. Times are on the flow's own clock. */
export interface FirstStageView {
  /** One-way time of a message to the first stage. */
  readonly linkMs: number;
  /** When it will have finished all that was sent to it; in the past when it is idle. */
  readonly freeAtMs: number;
  /** Segments that it will not have finished when one that leaves now arrives. */
  readonly ahead: number;
  /** When that number falls to one, for a segment that leaves then; undefined when it has already. */
  readonly dueAtMs: number | undefined;
}

interface Pending {
  readonly sequence: number;
  readonly sentAtMs: number;
  readonly costMs: number;
  /** The first stage had nothing else to do, so its credit tells how long the link takes. */
  readonly alone: boolean;
  finishAtMs: number;
}

/** Credits that the estimate of the link is the least of. */
const LINK_SAMPLES = 32;

/**
 * Foresees when the first stage will be free, from what was sent to it, the measured t(n) and the credits
 * that come back: a credit is as old as the link is long, so counting credits alone would starve a
 * pipeline behind a slow link (algorithm part B, item 1).
 */
export class FirstStage {
  #pending: Pending[] = [];
  #freeAtMs = Number.NEGATIVE_INFINITY;
  readonly #links: number[] = [];
  #linkMs = 0;

  sent(sequence: number, nodes: number, nowMs: number, costs: PipelineCosts): void {
    const arrival = nowMs + this.#linkMs;
    const costMs = costs.stageMs(0, nodes);
    const alone = this.#pending.length === 0;
    this.#freeAtMs = Math.max(this.#freeAtMs, arrival) + costMs;
    this.#pending.push({ sequence, sentAtMs: nowMs, costMs, alone, finishAtMs: this.#freeAtMs });
  }

  /**
   * The first stage has finished this segment and, since it keeps their order, all before it. `direct`: it
   * says so itself, so that the time taken tells how long the link is.
   */
  finished(sequence: number, nowMs: number, direct: boolean): void {
    const known = this.#pending.find((segment) => segment.sequence === sequence);
    if (known?.alone && direct) this.#measureLink((nowMs - known.sentAtMs - known.costMs) / 2);
    this.#pending = this.#pending.filter((segment) => segment.sequence > sequence);
    if (known !== undefined) this.#forecast(nowMs - this.#linkMs);
  }

  /** All that was sent is forgotten: the session begins again. */
  reset(): void {
    this.#pending = [];
    this.#freeAtMs = Number.NEGATIVE_INFINITY;
  }

  view(nowMs: number): FirstStageView {
    // Compared as `dueAtMs` is computed: else rounding could make it due now, and still open, for ever.
    const open = this.#pending.filter(({ finishAtMs }) => finishAtMs - this.#linkMs > nowMs);
    const last = open.at(-2);
    return {
      linkMs: this.#linkMs,
      freeAtMs: this.#freeAtMs,
      ahead: open.length,
      dueAtMs: last === undefined ? undefined : last.finishAtMs - this.#linkMs,
    };
  }

  /** Counts anew from the moment at which the first stage took the oldest segment that it still has. */
  #forecast(fromMs: number): void {
    let freeAt = fromMs;
    for (const segment of this.#pending) {
      freeAt = Math.max(freeAt, segment.sentAtMs + this.#linkMs) + segment.costMs;
      segment.finishAtMs = freeAt;
    }
    this.#freeAtMs = freeAt;
  }

  #measureLink(ms: number): void {
    this.#links.push(Math.max(0, ms));
    if (this.#links.length > LINK_SAMPLES) this.#links.shift();
    this.#linkMs = Math.min(...this.#links);
  }
}
