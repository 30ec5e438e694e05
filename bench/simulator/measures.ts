import type { Walk } from "../../decoding/segment.ts";

/** What is counted of one session, from its first commit on. */
export class SessionMeasures {
  /** When the first token, which prefill gives, and the last one came; NaN before that. */
  firstMs = Number.NaN;
  lastMs = Number.NaN;
  /** Tokens behind the first. */
  tokens = 0;
  commits = 0;
  segments = 0;
  sentNodes = 0;
  /** Certain tokens whose node was not in flight when its parent was verified. */
  misses = 0;
  /** Time from misses to the next verified token each, in all; and misses that had a next one. */
  recoveryMs = 0;
  recoveries = 0;
  #missedAtMs: number | undefined;

  sent(nodes: number): void {
    this.segments++;
    this.sentNodes += nodes;
  }

  /** The tree manager has heard of a commit. */
  committed(walk: Walk, nowMs: number): void {
    this.lastMs = nowMs;
    if (Number.isNaN(this.firstMs)) {
      this.firstMs = nowMs;
      return;
    }
    this.commits++;
    this.tokens += walk.tokens.length;
  }

  /** The verifier's walk moved. */
  verified(nowMs: number): void {
    if (this.#missedAtMs === undefined) return;
    this.recoveryMs += nowMs - this.#missedAtMs;
    this.recoveries++;
    this.#missedAtMs = undefined;
  }

  /** The token that the walk waits for is not in flight. */
  missed(nowMs: number): void {
    this.misses++;
    this.#missedAtMs = nowMs;
  }
}
