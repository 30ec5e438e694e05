import { MASKED } from "../../decoding/live-rows.ts";
import type { HeadCache, HeadLayerCache, HeadModel } from "./head-model.ts";

type HeadSizes = Pick<HeadModel, "layers" | "kvHeads" | "headDim">;

/** Cache rows are allocated in pages, so that a growing text seldom copies what it has. */
const PAGE_ROWS = 128;

/**
 * Keys and values of one session's draft head, in each of its layers. Rows [0, verified) are the verified positions, in order;
 * behind them are drafted nodes, in the order in which they were computed.
 */
export class HeadContext {
  readonly #model: HeadSizes;
  #layers: readonly HeadLayerCache[];
  #capacity = 0;
  #verified = 0;
  #drafted = 0;

  constructor(model: HeadSizes) {
    this.#model = model;
    const empty = new Float32Array(0);
    this.#layers = Array.from({ length: model.layers }, () => ({ keys: empty, values: empty }));
  }

  get allocatedBytes(): number {
    const { layers, kvHeads, headDim } = this.#model;
    return 2 * layers * kvHeads * this.#capacity * headDim * Float32Array.BYTES_PER_ELEMENT;
  }

  /** Verified positions: the next row to come is that of this position. */
  get verified(): number {
    return this.#verified;
  }

  get drafted(): number {
    return this.#drafted;
  }

  get cache(): HeadCache {
    return { capacity: this.#capacity, layers: this.#layers };
  }

  /** Forgets the drafted nodes and the verified positions from `position` on. */
  truncate(position: number): void {
    this.#verified = Math.min(this.#verified, position);
    this.#drafted = 0;
  }

  /** Begins with a copy of another context's first `rows` verified positions. Only when new. */
  copyFrom(source: HeadContext, rows: number): void {
    this.reserve(rows);
    const { kvHeads, headDim } = this.#model;
    const copy = (from: Float32Array, to: Float32Array) => {
      for (let head = 0; head < kvHeads; head++) {
        const first = head * source.#capacity * headDim;
        to.set(from.subarray(first, first + rows * headDim), head * this.#capacity * headDim);
      }
    };
    source.#layers.forEach(({ keys, values }, layer) => {
      const own = this.#layers[layer]!;
      copy(keys, own.keys);
      copy(values, own.values);
    });
    this.#verified = rows;
  }

  forgetDrafted(): void {
    this.#drafted = 0;
  }

  /** Makes room for `count` rows behind the present ones, before masks are made. */
  reserve(count: number): void {
    const needed = this.#verified + this.#drafted + count;
    if (needed <= this.#capacity) return;
    const capacity = Math.ceil(needed / PAGE_ROWS) * PAGE_ROWS;
    this.#layers = this.#layers.map(({ keys, values }) => ({
      keys: this.#spread(keys, capacity),
      values: this.#spread(values, capacity),
    }));
    this.#capacity = capacity;
  }

  /** [ancestors.length, capacity] mask of rows that see the verified positions and `ancestors` [cache rows]. */
  pastMask(ancestors: readonly (readonly number[])[]): Float32Array {
    const mask = new Float32Array(ancestors.length * this.#capacity).fill(MASKED);
    ancestors.forEach((rows, i) => {
      const start = i * this.#capacity;
      mask.fill(0, start, start + this.#verified);
      for (const row of rows) mask[start + row] = 0;
    });
    return mask;
  }

  /** Stores `count` rows (for each layer [2, kvHeads, count, headDim]) behind the verified ones, as verified. */
  appendVerified(fresh: readonly Float32Array[], count: number): void {
    this.#drafted = 0;
    this.#write(fresh, this.#verified, count);
    this.#verified += count;
  }

  /** Stores `count` rows of drafted nodes; gives the cache row of the first. */
  appendDrafted(fresh: readonly Float32Array[], count: number): number {
    const first = this.#verified + this.#drafted;
    this.#write(fresh, first, count);
    this.#drafted += count;
    return first;
  }

  #write(fresh: readonly Float32Array[], firstRow: number, count: number): void {
    const { kvHeads, headDim } = this.#model;
    const block = count * headDim;
    this.#layers.forEach(({ keys, values }, layer) => {
      const rows = fresh[layer]!;
      for (let head = 0; head < kvHeads; head++) {
        const target = (head * this.#capacity + firstRow) * headDim;
        keys.set(rows.subarray(head * block, (head + 1) * block), target);
        values.set(rows.subarray((kvHeads + head) * block, (kvHeads + head + 1) * block), target);
      }
    });
  }

  /** The same rows in an array with more room for each head. */
  #spread(old: Float32Array, capacity: number): Float32Array<ArrayBuffer> {
    const { kvHeads, headDim } = this.#model;
    const grown = new Float32Array(kvHeads * capacity * headDim);
    const length = this.#capacity * headDim;
    for (let head = 0; head < kvHeads; head++) {
      grown.set(old.subarray(head * length, (head + 1) * length), head * capacity * headDim);
    }
    return grown;
  }
}
