import type { HeadManifest } from "../../../models/draft/head-manifest.ts";
import type { HeadLayerWeights, HeadWeights } from "../../../models/draft/head-weights.ts";

/** Rotated keys and values of one row in one layer, [kvHeads · headDim] each. */
interface ReferenceLayerKv {
  readonly keys: number[];
  readonly values: number[];
}

/** The same in each layer. */
export type ReferenceKv = readonly ReferenceLayerKv[];

export interface ReferenceRow {
  readonly drafted: number[];
  readonly logProbs: number[];
  readonly kv: ReferenceKv;
}

/** The target's weights that a head reads. */
export interface ReferenceTarget {
  /** Row of the embedding table. */
  embedding(token: number): ArrayLike<number>;
  /** [hidden] */
  readonly finalGain: ArrayLike<number>;
}

/**
 * A draft head's forward pass written down row by row in double precision from its description, without
 * caches, masks, matrices or rounding: the oracle for the graph.
 */
export class ReferenceHead {
  readonly #manifest: HeadManifest;
  readonly #weights: HeadWeights;
  readonly #target: ReferenceTarget;

  constructor(manifest: HeadManifest, weights: HeadWeights, target: ReferenceTarget) {
    this.#manifest = manifest;
    this.#weights = weights;
    this.#target = target;
  }

  /** Feature of a verified position from its taps, each [hidden]. */
  fuse(taps: readonly ArrayLike<number>[]): number[] {
    return times(
      this.#weights.fc,
      taps.flatMap((tap) => this.#norm(tap)),
    );
  }

  /** `visible`: the rows that this one attends to, beside itself. */
  row(
    feature: ArrayLike<number>,
    token: number,
    position: number,
    visible: readonly ReferenceKv[],
  ): ReferenceRow {
    const weights = this.#weights;
    const input = [
      ...scaled(this.#norm(this.#target.embedding(token)), weights.normEmbedding),
      ...scaled(this.#norm(feature), weights.normFeature),
    ];
    const kv: ReferenceLayerKv[] = [];
    const below = { residual: Array.from(feature), position, kv };
    let drafted = this.#layer(weights.first, { ...below, input, visible: visible.map((row) => row[0]!) });
    weights.upper.forEach((layer, i) => {
      drafted = this.#layer(layer, {
        ...below,
        residual: drafted,
        input: scaled(this.#norm(drafted), layer.normAttention),
        visible: visible.map((row) => row[i + 1]!),
      });
    });
    const normed = scaled(scaled(this.#norm(drafted), weights.normOutput), this.#target.finalGain);
    const logits = Array.from(weights.vocabulary, (id) => dot(normed, this.#target.embedding(id)));
    return { drafted, kv, logProbs: softmax(logits).map(Math.log) };
  }

  /** One decoder layer's output for the row; adds its own keys and values to `kv`. */
  #layer(
    weights: HeadLayerWeights,
    row: {
      readonly residual: readonly number[];
      readonly input: readonly number[];
      readonly position: number;
      readonly visible: readonly ReferenceLayerKv[];
      readonly kv: ReferenceLayerKv[];
    },
  ): number[] {
    const { heads, kvHeads, headDim, ffn } = this.#manifest;
    const { position } = row;
    const packed = times(weights.qkv, row.input);
    const head = (index: number) => packed.slice(index * headDim, (index + 1) * headDim);
    const rotated = (first: number, count: number) =>
      Array.from({ length: count }, (_, i) => this.#rotate(head(first + i), position));
    const queries = rotated(0, heads);
    const own = {
      keys: rotated(heads, kvHeads).flat(),
      values: packed.slice((heads + kvHeads) * headDim),
    };
    row.kv.push(own);
    const context = [...row.visible, own];
    const attended = queries.flatMap((query, i) => {
      const from = Math.floor(i / (heads / kvHeads)) * headDim;
      const scores = context.map(
        ({ keys }) => dot(query, keys.slice(from, from + headDim)) / Math.sqrt(headDim),
      );
      const shares = softmax(scores);
      return Array.from({ length: headDim }, (_, at) =>
        context.reduce((sum, { values }, j) => sum + shares[j]! * values[from + at]!, 0),
      );
    });
    const middle = plus(row.residual, times(weights.attentionOutput, attended));
    const gateUp = times(weights.gateUp, scaled(this.#norm(middle), weights.normMlp));
    const inner = Array.from({ length: ffn }, (_, i) => silu(gateUp[i]!) * gateUp[ffn + i]!);
    return plus(middle, times(weights.down, inner));
  }

  #norm(x: ArrayLike<number>): number[] {
    const values = Array.from(x);
    const scale = 1 / Math.sqrt(dot(values, values) / values.length + this.#manifest.rmsEps);
    return values.map((value) => value * scale);
  }

  /** Half-split rope. */
  #rotate(x: number[], position: number): number[] {
    const half = x.length / 2;
    return x.map((value, i) => {
      const angle = position * this.#manifest.ropeBase ** (-(i % half) / half);
      const other = i < half ? -x[i + half]! : x[i - half]!;
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  }
}

function times(matrix: Float32Array, x: readonly number[]): number[] {
  const rows = matrix.length / x.length;
  return Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = 0, at = row * x.length; i < x.length; i++, at++) sum += matrix[at]! * x[i]!;
    return sum;
  });
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

const plus = (a: readonly number[], b: readonly number[]) => a.map((value, i) => value + b[i]!);
const scaled = (a: readonly number[], gain: ArrayLike<number>) => a.map((value, i) => value * gain[i]!);
const silu = (x: number) => x / (1 + Math.exp(-x));

function softmax(scores: readonly number[]): number[] {
  const max = scores.reduce((a, b) => Math.max(a, b));
  const weights = scores.map((score) => Math.exp(score - max));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}
