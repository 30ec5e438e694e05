export interface KvShape {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Thrown before anything is computed, when a run's rows would not fit into the memory set aside for them. */
export class KvBudgetError extends Error {
  override readonly name = "KvBudgetError";
  readonly neededBytes: number;
  readonly budgetBytes: number;

  constructor(neededBytes: number, budgetBytes: number) {
    super(
      `the KV cache of all sessions would need ${neededBytes} bytes, more than the ${budgetBytes} allowed; ` +
        "end sessions, shorten the prompt or raise the budget",
    );
    this.neededBytes = neededBytes;
    this.budgetBytes = budgetBytes;
  }
}

/** Bytes of one node's keys and values in all layers. */
export const kvBytesPerRow = ({ layers, kvHeads, headDim }: KvShape): number =>
  2 * layers * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT;

/**
 * Keys and values of one session at one stage: per layer [1, kvHeads, capacity, headDim]. The arrays are
 * read by the runtime in place; which row means what is the caller's business (see `LiveRows`).
 */
export class KvCache {
  readonly #shape: KvShape;
  #keys: Float32Array[];
  #values: Float32Array[];
  #capacity = 0;

  constructor(shape: KvShape) {
    this.#shape = shape;
    this.#keys = Array.from({ length: shape.layers }, () => new Float32Array(0));
    this.#values = Array.from({ length: shape.layers }, () => new Float32Array(0));
  }

  get allocatedBytes(): number {
    return this.#capacity * kvBytesPerRow(this.#shape);
  }

  /** Rows of each array. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Per layer; the arrays are replaced when the cache grows. */
  get keys(): readonly Float32Array[] {
    return this.#keys;
  }

  get values(): readonly Float32Array[] {
    return this.#values;
  }

  /** Makes room for at least `rows` rows; those that exist keep their numbers. */
  grow(rows: number): void {
    if (rows <= this.#capacity) return;
    const { kvHeads, headDim } = this.#shape;
    const size = kvHeads * rows * headDim;
    const from = this.#capacity * headDim;
    const to = rows * headDim;
    this.#keys = this.#keys.map((old) => spread(old, new Float32Array(size), from, to));
    this.#values = this.#values.map((old) => spread(old, new Float32Array(size), from, to));
    this.#capacity = rows;
  }

  /** Copies these rows of another cache of the same shape to rows [0, rows.length), for which there is room. */
  copyFrom(source: KvCache, rows: readonly number[]): void {
    const capacity = this.#capacity;
    const copy = (from: readonly Float32Array[], to: readonly Float32Array[]) =>
      from.forEach((array, layer) => {
        copyRows({ array, capacity: source.capacity }, { array: to[layer]!, capacity }, rows, this.#shape);
      });
    copy(source.keys, this.#keys);
    copy(source.values, this.#values);
  }

  /**
   * Stores a run's new rows: `fresh` is the graph's `kv_new` [2 · layers, kvHeads, nodes, headDim]; node i
   * goes to `rows[i]`, and nodes beyond `rows` are padding.
   */
  write(fresh: Float32Array, nodes: number, rows: Int32Array): void {
    const { layers, kvHeads, headDim } = this.#shape;
    const head = nodes * headDim;
    let at = 0;
    for (let layer = 0; layer < layers; layer++) {
      for (const target of [this.#keys[layer]!, this.#values[layer]!]) {
        for (let base = 0; base < target.length; base += this.#capacity * headDim, at += head) {
          for (let i = 0; i < rows.length; i++) {
            const from = at + i * headDim;
            target.set(fresh.subarray(from, from + headDim), base + rows[i]! * headDim);
          }
        }
      }
    }
    if (at !== fresh.length) throw new RangeError(`${fresh.length} new elements, expected ${kvHeads * at}`);
  }
}

interface Rows {
  /** [kvHeads, capacity, headDim] */
  readonly array: Float32Array;
  readonly capacity: number;
}

/** Rows that follow each other are copied at once: mostly that is all of a head's. */
function copyRows(from: Rows, to: Rows, rows: readonly number[], { kvHeads, headDim }: KvShape): void {
  for (let start = 0, end = 0; start < rows.length; start = end) {
    end = start + 1;
    while (rows[end] === rows[end - 1]! + 1) end++;
    for (let head = 0; head < kvHeads; head++) {
      const first = (head * from.capacity + rows[start]!) * headDim;
      const run = from.array.subarray(first, first + (end - start) * headDim);
      to.array.set(run, (head * to.capacity + start) * headDim);
    }
  }
}

/** Copies each head's block of `from` elements to the start of its block of `to` elements. */
function spread(old: Float32Array, grown: Float32Array, from: number, to: number): Float32Array {
  for (let source = 0, target = 0; source < old.length; source += from, target += to) {
    grown.set(old.subarray(source, source + from), target);
  }
  return grown;
}
