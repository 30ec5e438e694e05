import { dequantize, isDequantizable } from "../../../models/gguf/dequantize.ts";
import type { GgufFile } from "../../../models/gguf/gguf-file.ts";
import { type LlamaConfig, readLlamaConfig } from "../../../models/gguf/llama-config.ts";

export interface NaiveNode {
  readonly token: number;
  /** Index of the parent, before this node; -1 for the first. */
  readonly parent: number;
  readonly position: number;
}

export interface NaiveResult {
  /** [layers + 1][nodes][hidden]: the embedding, then the residual stream after each layer. */
  readonly residuals: readonly (readonly Float64Array[])[];
  /** [nodes][vocab] */
  readonly logits: readonly Float64Array[];
}

type Rows = readonly Float64Array[];

/**
 * The architecture's definition, in double and without any trick: each node attends to its path, weights
 * are dequantised matrices, rope turns neighbouring elements as the file's row order has it.
 */
export class NaiveLlama {
  readonly config: LlamaConfig;
  readonly #gguf: GgufFile;
  readonly #matrices = new Map<string, Rows>();

  constructor(gguf: GgufFile) {
    this.#gguf = gguf;
    this.config = readLlamaConfig(gguf);
  }

  async forward(nodes: readonly NaiveNode[]): Promise<NaiveResult> {
    const { config } = this;
    const table = await this.#matrix("token_embd.weight");
    let x: Rows = nodes.map(({ token }) => table[token]!);
    const residuals = [x];
    for (let layer = 0; layer < config.layers; layer++) {
      x = await this.#layer(nodes, `blk.${layer}`, x);
      residuals.push(x);
    }
    const head = config.tiedEmbeddings ? table : await this.#matrix("output.weight");
    const gain = await this.#matrix("output_norm.weight");
    return { residuals, logits: x.map((row) => product(head, this.#norm(row, gain[0]!))) };
  }

  async #layer(nodes: readonly NaiveNode[], block: string, x: Rows): Promise<Rows> {
    const { heads, kvHeads, headDim } = this.config;
    const weights = (name: string) => this.#matrix(`${block}.${name}.weight`);
    const [attentionGain] = await weights("attn_norm");
    const normed = x.map((row) => this.#norm(row, attentionGain!));
    const query = await weights("attn_q");
    const key = await weights("attn_k");
    const value = await weights("attn_v");
    const factors = this.config.ropeFactors ? (await this.#matrix(this.config.ropeFactors))[0]! : undefined;
    const turned = (matrix: Rows) =>
      normed.map((row, i) => this.#rope(product(matrix, row), nodes[i]!.position, factors));
    const queries = turned(query);
    const keys = turned(key);
    const values = normed.map((row) => product(value, row));
    const output = await weights("attn_output");
    const attended = x.map((row, i) => {
      const path: number[] = [];
      for (let at = i; at >= 0; at = nodes[at]!.parent) path.push(at);
      const mixed = new Float64Array(heads * headDim);
      for (let head = 0; head < heads; head++) {
        const q = head * headDim;
        const kv = Math.floor(head / (heads / kvHeads)) * headDim;
        const scores = path.map((at) => dot(queries[i]!, q, keys[at]!, kv, headDim) / Math.sqrt(headDim));
        const max = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - max));
        const sum = weights.reduce((total, weight) => total + weight, 0);
        path.forEach((at, rank) => {
          for (let d = 0; d < headDim; d++) mixed[q + d]! += (weights[rank]! / sum) * values[at]![kv + d]!;
        });
      }
      return plus(row, product(output, mixed));
    });
    const [ffnGain] = await weights("ffn_norm");
    const gate = await weights("ffn_gate");
    const up = await weights("ffn_up");
    const down = await weights("ffn_down");
    return attended.map((row) => {
      const normed = this.#norm(row, ffnGain!);
      const ups = product(up, normed);
      const inner = product(gate, normed).map((g, i) => (g / (1 + Math.exp(-g))) * ups[i]!);
      return plus(row, product(down, inner));
    });
  }

  #norm(row: Float64Array, gain: Float64Array): Float64Array {
    const scale = 1 / Math.sqrt(dot(row, 0, row, 0, row.length) / row.length + this.config.rmsEps);
    return row.map((value, i) => value * scale * gain[i]!);
  }

  #rope(row: Float64Array, position: number, factors: Float64Array | undefined): Float64Array {
    const { headDim, ropeBase } = this.config;
    const turned = new Float64Array(row.length);
    for (let at = 0; at < row.length; at += 2) {
      const pair = (at % headDim) / 2;
      const angle = (position * ropeBase ** ((-2 * pair) / headDim)) / (factors?.[pair] ?? 1);
      turned[at] = row[at]! * Math.cos(angle) - row[at + 1]! * Math.sin(angle);
      turned[at + 1] = row[at]! * Math.sin(angle) + row[at + 1]! * Math.cos(angle);
    }
    return turned;
  }

  /** Rows of a matrix; a vector is one row. */
  async #matrix(name: string): Promise<Rows> {
    const known = this.#matrices.get(name);
    if (known) return known;
    const { type, shape } = this.#gguf.tensors.get(name)!;
    if (!isDequantizable(type)) throw new Error(`${name} is ${type}`);
    const columns = shape.at(-1)!;
    const count = shape.reduce((product, size) => product * size, 1);
    const values = dequantize(type, await this.#gguf.readTensor(name), count);
    const rows = Array.from({ length: count / columns }, (_, row) =>
      Float64Array.from(values.subarray(row * columns, (row + 1) * columns)),
    );
    this.#matrices.set(name, rows);
    return rows;
  }
}

function dot(a: Float64Array, aFrom: number, b: Float64Array, bFrom: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[aFrom + i]! * b[bFrom + i]!;
  return sum;
}

const product = (matrix: Rows, x: Float64Array): Float64Array =>
  Float64Array.from(matrix, (row) => dot(row, 0, x, 0, x.length));

const plus = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value + b[i]!);
