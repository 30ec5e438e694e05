import type { GgufFile } from "../gguf/gguf-file.ts";
import type { LlamaConfig } from "../gguf/llama-config.ts";
import { embedding } from "../graph/embedding.ts";
import { bytesOf } from "../graph/linear.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { draftVocabularyRows } from "./draft-vocabulary-rows.ts";
import type { HeadManifest } from "./head-manifest.ts";
import type { HeadWeights } from "./head-weights.ts";
import { QUANT_BLOCK, quantiseRows } from "./quantise-rows.ts";

/** int8 activations: a draft head need not be exact, and its time is that of reading its weights. */
const ACCURACY_LEVEL = 4;

export interface HeadGraphParts {
  readonly builder: GraphBuilder;
  readonly gguf: GgufFile;
  readonly config: LlamaConfig;
  readonly manifest: HeadManifest;
  readonly weights: HeadWeights;
}

/** Builds `tap_0`, `tap_1`, … [n, hidden] to `features` [n, hidden]: what verified positions feed the layer. */
export function buildFusion(parts: HeadGraphParts): void {
  const { builder, manifest, weights } = parts;
  const { hidden } = manifest.target;
  const ones = new Float32Array(hidden).fill(1);
  const normed = manifest.taps.map((_, i) =>
    rmsNorm(parts, builder.input(`tap_${i}`, "float32", ["n", hidden]), {
      name: `tap_${i}.gain`,
      gain: ones,
    }),
  );
  const joined = builder.node("Concat", normed, { attributes: { axis: 1 } });
  const features = product(parts, joined, { name: "fc", values: weights.fc, rows: hidden });
  builder.output("features", "float32", ["n", hidden], features);
}

/**
 * Builds the decoder layer and the draft LM head, for n rows, a cache of `rows` rows, and m of the n
 * rows whose next-token distribution is wanted.
 *
 * Inputs: `tokens` [n] int64, the token after each position; `features` [n, hidden]; `cos` and `sin`
 * [n, headDim / 2] of the positions; `past_mask` [n, rows] and `new_mask` [n, n], added to the scores;
 * `past_k` and `past_v` [1, kvHeads, rows, headDim]; `wanted` [m] int64 row indices. Outputs: `drafted`
 * [n, hidden], the features to draft on with; `kv_new` [2, kvHeads, n, headDim]; `log_probs`
 * [m, draftVocabulary].
 */
export async function buildLayer(parts: HeadGraphParts): Promise<void> {
  const { builder, manifest, weights } = parts;
  const { target, draftVocabulary, ffn } = manifest;
  const { hidden } = target;
  const features = builder.input("features", "float32", ["n", hidden]);
  const tokens = builder.input("tokens", "int64", ["n"]);
  const embedded = await embedding({ ...parts, numerics: "fast" }, tokens);
  const joined = builder.node(
    "Concat",
    [
      rmsNorm(parts, embedded, { name: "norm_embedding", gain: weights.normEmbedding }),
      rmsNorm(parts, features, { name: "norm_feature", gain: weights.normFeature }),
    ],
    { attributes: { axis: 1 } },
  );
  const attended = attention(parts, joined);
  const update = product(parts, attended, {
    name: "attn_output",
    values: weights.attentionOutput,
    rows: hidden,
  });
  const residual = builder.node("Add", [features, update]);
  const normed = rmsNorm(parts, residual, { name: "norm_mlp", gain: weights.normMlp });
  const gateUp = product(parts, normed, { name: "gate_up", values: weights.gateUp, rows: 2 * ffn });
  const [gate, up] = builder.nodes("Split", [gateUp, builder.ints(ffn, ffn)], 2, { attributes: { axis: 1 } });
  // With alpha 1, x · sigmoid(alpha · x) is silu in one pass.
  const silu = builder.node("QuickGelu", [gate!], { contrib: true, attributes: { alpha: { float: 1 } } });
  const inner = builder.node("Mul", [silu, up!]);
  const down = product(parts, inner, { name: "down", values: weights.down, rows: hidden });
  const drafted = builder.node("Add", [residual, down]);
  builder.output("drafted", "float32", ["n", hidden], drafted);
  const logProbs = await distribution(parts, drafted);
  builder.output("log_probs", "float32", ["m", draftVocabulary], logProbs);
}

/** Log-softmax over the draft vocabulary of the wanted rows. */
async function distribution(parts: HeadGraphParts, drafted: Value): Promise<Value> {
  const { builder, gguf, manifest, weights } = parts;
  const { gain, rows } = await draftVocabularyRows(gguf, parts.config, weights.vocabulary);
  const wanted = builder.node("Gather", [drafted, builder.input("wanted", "int64", ["m"])], {
    attributes: { axis: 0 },
  });
  const normed = rmsNorm(parts, wanted, {
    name: "norm_output",
    gain: weights.normOutput.map((value, i) => value * gain[i]!),
  });
  const logits = product(parts, normed, { name: "draft_head", values: rows, rows: manifest.draftVocabulary });
  return builder.node("LogSoftmax", [logits], { attributes: { axis: -1 } });
}

/** Attention of x [n, 2 · hidden] over the cached and the new rows: [n, heads · headDim]. Gives out `kv_new`. */
function attention(parts: HeadGraphParts, x: Value): Value {
  const { builder, manifest, weights } = parts;
  const { heads, kvHeads, headDim } = manifest;
  const packed = product(parts, x, {
    name: "qkv",
    values: weights.qkv,
    rows: (heads + 2 * kvHeads) * headDim,
  });
  const byHead = builder.node(
    "Transpose",
    [builder.node("Reshape", [packed, builder.ints(1, -1, heads + 2 * kvHeads, headDim)])],
    { attributes: { perm: [0, 2, 1, 3] } },
  );
  const alongHeads = { attributes: { axis: 1 } };
  const [unrotated, values] = builder.nodes(
    "Split",
    [byHead, builder.ints(heads + kvHeads, kvHeads)],
    2,
    alongHeads,
  );
  const cos = builder.input("cos", "float32", ["n", headDim / 2]);
  const sin = builder.input("sin", "float32", ["n", headDim / 2]);
  const rotated = builder.node("RotaryEmbedding", [unrotated!, builder.ints(0), cos, sin], { contrib: true });
  const [query, keys] = builder.nodes("Split", [rotated, builder.ints(heads, kvHeads)], 2, alongHeads);
  const fresh = builder.node("Concat", [keys!, values!], { attributes: { axis: 0 } });
  builder.output("kv_new", "float32", [2, kvHeads, "n", headDim], fresh);

  const grouped = builder.node("Reshape", [query!, builder.ints(1, kvHeads, -1, headDim)]);
  const mean = weightedValues(parts, { query: grouped, keys: keys!, values: values! });
  const perHead = builder.node("Reshape", [mean, builder.ints(1, heads, -1, headDim)]);
  return builder.node("Reshape", [
    builder.node("Transpose", [perHead], { attributes: { perm: [0, 2, 1, 3] } }),
    builder.ints(-1, heads * headDim),
  ]);
}

/** Softmax(q · kᵀ) · v over two parts, so that the cache is never copied: [1, kvHeads, group · n, headDim]. */
function weightedValues(
  { builder, manifest }: HeadGraphParts,
  rows: { readonly query: Value; readonly keys: Value; readonly values: Value },
): Value {
  const { heads, kvHeads, headDim } = manifest;
  const cacheDims = [1, kvHeads, "rows", headDim];
  const pastKeys = builder.input("past_k", "float32", cacheDims);
  const pastValues = builder.input("past_v", "float32", cacheDims);
  const pastMask = builder.input("past_mask", "float32", ["n", "rows"]);
  const newMask = builder.input("new_mask", "float32", ["n", "n"]);
  const mask = builder.node("Tile", [
    builder.node("Concat", [pastMask, newMask], { attributes: { axis: 1 } }),
    builder.ints(heads / kvHeads, 1),
  ]);
  const scaled = { contrib: true, attributes: { transB: 1, alpha: { float: headDim ** -0.5 } } };
  const scores = builder.node(
    "Concat",
    [
      builder.node("FusedMatMul", [rows.query, pastKeys], scaled),
      builder.node("FusedMatMul", [rows.query, rows.keys], scaled),
    ],
    { attributes: { axis: 3 } },
  );
  const weights = builder.node("Softmax", [builder.node("Add", [scores, mask])], {
    attributes: { axis: -1 },
  });
  const columns = (of: Value) => builder.node("Shape", [of], { attributes: { start: 1 } });
  const lengths = builder.node("Concat", [columns(pastMask), columns(newMask)], { attributes: { axis: 0 } });
  const [pastWeights, newWeights] = builder.nodes("Split", [weights, lengths], 2, {
    attributes: { axis: 3 },
  });
  return builder.node("Add", [
    builder.node("MatMul", [pastWeights!, pastValues]),
    builder.node("MatMul", [newWeights!, rows.values]),
  ]);
}

function rmsNorm(
  { builder, manifest }: HeadGraphParts,
  x: Value,
  { name, gain }: { readonly name: string; readonly gain: Float32Array },
): Value {
  const weights = builder.initializer(name, { type: "float32", dims: [gain.length] }, bytesOf(gain));
  return builder.node("SimplifiedLayerNormalization", [x, weights], {
    attributes: { axis: -1, epsilon: { float: manifest.rmsEps } },
  });
}

interface Matrix {
  readonly name: string;
  /** [rows, columns] */
  readonly values: Float32Array;
  readonly rows: number;
}

/** x times the transposed matrix, with weights of 8 bits. */
function product({ builder }: HeadGraphParts, x: Value, { name, values, rows }: Matrix): Value {
  const columns = values.length / rows;
  const blocks = columns / QUANT_BLOCK;
  const { codes, scales } = quantiseRows(values);
  builder.initializer(`${name}.codes`, { type: "uint8", dims: [rows, blocks, QUANT_BLOCK] }, codes);
  builder.initializer(`${name}.scales`, { type: "float32", dims: [rows * blocks] }, bytesOf(scales));
  return builder.node("MatMulNBits", [x, `${name}.codes`, `${name}.scales`], {
    contrib: true,
    attributes: { K: columns, N: rows, bits: 8, block_size: QUANT_BLOCK, accuracy_level: ACCURACY_LEVEL },
  });
}
