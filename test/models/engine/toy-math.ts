import type { RowCache, StageForward, StageMath, StageOutputs } from "../../../models/stage-math.ts";

/** [rows] what each row holds: the sum of the tokens that its node saw and its own. */
export class ToyCache implements RowCache {
  sums: number[] = [];
  rows = 0;

  get allocatedBytes(): number {
    return this.rows * TOY_BYTES_PER_ROW;
  }

  grow(rows: number): void {
    this.rows = rows;
  }

  copyFrom(source: ToyCache, rows: readonly number[]): void {
    rows.forEach((row, index) => {
      this.sums[index] = source.sums[row]!;
    });
  }
}

export const TOY_BYTES_PER_ROW = 10;
const TOY_HIDDEN = 2;

/**
 * A stage without tensors. A node's hidden row is [sum of the tokens it sees, itself included; number of
 * nodes it sees], so a wrong mask, a wrong row or a lost row shows. Taps are the row times the layer.
 */
export class ToyMath implements StageMath<ToyCache> {
  readonly taps: readonly number[];
  readonly hidden = TOY_HIDDEN;
  readonly bytesPerRow = TOY_BYTES_PER_ROW;
  /** When set, the next forward fails with it. */
  failure: Error | undefined;
  isClosed = false;
  /** Segments inside `forward` at once; more than one means that calls are not serial. */
  #running = 0;

  constructor(taps: readonly number[] = []) {
    this.taps = taps;
  }

  createCache(): ToyCache {
    return new ToyCache();
  }

  async forward({ admission }: StageForward, cache: ToyCache): Promise<StageOutputs> {
    if (++this.#running > 1) throw new Error("two forwards at once");
    await Promise.resolve();
    this.#running--;
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure;
    const { nodes, rows, pastMask, newMask } = admission;
    const count = rows.length;
    const hidden = new Float32Array(count * TOY_HIDDEN);
    for (let i = 0; i < count; i++) {
      for (let row = 0; row < cache.rows; row++) {
        if (pastMask[i * cache.rows + row] === 0) add(hidden, i, cache.sums[row]!);
      }
      for (let j = 0; j < count; j++) if (newMask[i * count + j] === 0) add(hidden, i, nodes.tokens[j]!);
    }
    for (let i = 0; i < count; i++) cache.sums[rows[i]!] = nodes.tokens[i]!;
    return { hidden, taps: this.taps.map((layer) => hidden.map((value) => value * layer)) };
  }

  /** The token is the row's first element. */
  async logits(hiddenRow: Float32Array): Promise<Float32Array> {
    return Float32Array.from({ length: 100 }, (_, token) => (token === hiddenRow[0]! % 100 ? 1 : 0));
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

function add(hidden: Float32Array, node: number, token: number): void {
  hidden[node * TOY_HIDDEN]! += token;
  hidden[node * TOY_HIDDEN + 1]! += 1;
}
