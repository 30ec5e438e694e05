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

  get allocatedBytes(): number {
    return this.#cache.allocatedBytes;
  }

  /** Bytes that the cache would have with that many more nodes. */
  bytesWith(nodes: number): number {
    return this.#rows.capacityFor(nodes) * this.#math.bytesPerRow;
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
