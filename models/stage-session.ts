import type { NodeId, TokenId } from "../decoding/ids.ts";
import { type Admission, LiveRows } from "../decoding/live-rows.ts";
import type { SegmentNodes } from "../decoding/segment.ts";
import type { TapRows } from "./stage-engine.ts";
import type { RowCache, StageMath, StageOutputs } from "./stage-math.ts";

/** Rows are allocated in steps of this many. */
export const PAGE_ROWS = 64;

/** One session at one stage: who is alive, the cached rows, and the taps of nodes not yet committed. */
export class StageSession<Cache extends RowCache> {
  readonly #math: StageMath<Cache>;
  readonly #rows = new LiveRows(PAGE_ROWS);
  readonly #cache: Cache;
  /** Per live uncommitted node, a row of each tap. */
  readonly #taps = new Map<NodeId, readonly Float32Array[]>();

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

  /** Keeps tap rows of uncommitted nodes until their fate is known. */
  keepTaps(nodes: SegmentNodes, taps: readonly Float32Array[]): void {
    const { hidden } = this.#math;
    if (taps.length === 0) return;
    nodes.ids.forEach((id, i) => {
      const rows = taps.map((rows) => rows.slice(i * hidden, (i + 1) * hidden));
      this.#taps.set(id as NodeId, rows);
    });
  }

  /** See `StageEngine.commit`. */
  commit(accepted: readonly NodeId[], next: TokenId): readonly TapRows[] {
    const { ids, positions, dead } = this.#rows.commit(accepted, next);
    const kept = ids.map((id) => this.#taps.get(id));
    for (const id of [...ids, ...dead]) this.#taps.delete(id);
    if (ids.length === 0) return [];
    const { hidden, taps } = this.#math;
    return taps.map((layer, tap) => {
      const rows = new Float32Array(ids.length * hidden);
      kept.forEach((row, i) => {
        rows.set(row![tap]!, i * hidden);
      });
      return { layer, positions: Uint32Array.from(positions), rows };
    });
  }
}
