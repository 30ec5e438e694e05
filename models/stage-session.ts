import { commonLength } from "../decoding/common-length.ts";
import type { NodeId, TokenId } from "../decoding/ids.ts";
import { type Admission, LiveRows } from "../decoding/live-rows.ts";
import type { SegmentNodes } from "../decoding/segment.ts";
import type { RowCache, StageMath, StageOutputs } from "./stage-math.ts";

/** Rows are allocated in steps of this many. */
export const PAGE_ROWS = 64;

/** One session at one stage: who is alive, and the cached rows. */
export class StageSession<Cache extends RowCache> {
  readonly #math: StageMath<Cache>;
  readonly #rows = new LiveRows(PAGE_ROWS);
  readonly #cache: Cache;

  constructor(math: StageMath<Cache>) {
    this.#math = math;
    this.#cache = math.createCache();
  }

  get liveRows(): number {
    return this.#rows.liveCount;
  }

  /** Length of the committed path. */
  get committed(): number {
    return this.#rows.pathTokens.length;
  }

  get allocatedBytes(): number {
    return this.#cache.allocatedBytes;
  }

  /** Bytes that the cache would have with that many more nodes. */
  bytesWith(nodes: number): number {
    return this.#rows.capacityFor(nodes) * this.#math.bytesPerRow;
  }

  /** How many tokens at their beginnings the committed path and `tokens` have in common. */
  commonWith(tokens: ArrayLike<number>): number {
    return commonLength(this.#rows.pathTokens, tokens);
  }

  /** Whether the other one's committed path begins with all of this one's. */
  isBeginningOf(other: StageSession<Cache>): boolean {
    return other.commonWith(this.#rows.pathTokens) === this.committed;
  }

  /** Keeps the first `length` tokens of the committed path and nothing else; see `LiveRows.truncate`. */
  truncate(length: number): void {
    this.#rows.truncate(length);
  }

  /** Begins with a copy of another session's first rows, which are those of `tokens`. Only when new. */
  copyBeginning(source: StageSession<Cache>, tokens: ArrayLike<number>): void {
    this.#rows.adopt(tokens);
    this.#cache.grow(this.#rows.capacity);
    this.#cache.copyFrom(source.#cache, source.#rows.pathRows.slice(0, tokens.length));
  }

  admit(segment: SegmentNodes, committed: boolean): Admission {
    const admission = this.#rows.admit(segment, committed);
    this.#cache.grow(this.#rows.capacity);
    return admission;
  }

  /** Computes admitted nodes; `hidden` has one row for each of them. */
  async forward(admission: Admission, hidden: Float32Array | undefined): Promise<StageOutputs> {
    return this.#math.forward({ admission, ...(hidden ? { hidden } : {}) }, this.#cache);
  }

  /** See `StageEngine.commit`. */
  commit(accepted: readonly NodeId[], next: TokenId): void {
    this.#rows.commit(accepted, next);
  }
}
