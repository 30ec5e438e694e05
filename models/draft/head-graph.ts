import type { GgufFile } from "../gguf/gguf-file.ts";
import type { LlamaConfig } from "../gguf/llama-config.ts";
import { embedding } from "../graph/embedding.ts";
import { bytesOf } from "../graph/linear.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { draftVocabularyRows } from "./draft-vocabulary-rows.ts";
import { type AttentionInputs, attention, attentionInputs } from "./head-attention.ts";
import type { HeadManifest } from "./head-manifest.ts";
import { product } from "./head-products.ts";
import type { HeadLayerWeights, HeadWeights } from "./head-weights.ts";

export interface HeadGraphParts {
  readonly builder: GraphBuilder;
  readonly gguf: GgufFile;
  readonly config: LlamaConfig;
  readonly manifest: HeadManifest;
  readonly weights: HeadWeights;
}

/** Builds `tap_0`, `tap_1`, … [n, hidden] to `features` [n, hidden]: what verified positions feed the layers. */
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
  const features = product(builder, joined, { name: "fc", values: weights.fc, rows: hidden });
  builder.output("features", "float32", ["n", hidden], features);
}

/**
 * Builds the decoder layers and the draft LM head, for n rows, a cache of `rows` rows in each layer, and m
 * of the n rows whose next-token distribution is wanted.
 *
 * Inputs: `tokens` [n] int64, the token after each position; `features` [n, hidden]; `cos` and `sin`
 * [n, headDim / 2] of the positions; `past_mask` [n, rows] and `new_mask` [n, n], added to the scores; for
 * each layer `past_k_0`, … and `past_v_0`, … [1, kvHeads, rows, headDim]; `wanted` [m] int64 row indices.
 * Outputs: `drafted` [n, hidden], the features to draft on with; for each layer `kv_new_0`, …
 * [2, kvHeads, n, headDim]; `log_probs` [m, draftVocabulary].
 */
export async function buildLayers(parts: HeadGraphParts): Promise<void> {
  const { builder, manifest, weights } = parts;
  const { target, draftVocabulary } = manifest;
  const features = builder.input("features", "float32", ["n", target.hidden]);
  const tokens = builder.input("tokens", "int64", ["n"]);
  const shared = attentionInputs(parts);
  const embedded = await embedding({ ...parts, numerics: "fast" }, tokens);
  const joined = builder.node(
    "Concat",
    [
      rmsNorm(parts, embedded, { name: "norm_embedding", gain: weights.normEmbedding }),
      rmsNorm(parts, features, { name: "norm_feature", gain: weights.normFeature }),
    ],
    { attributes: { axis: 1 } },
  );
  let residual = decoderLayer(
    parts,
    { layer: 0, x: joined, residual: features, weights: weights.first },
    shared,
  );
  for (const [index, upper] of weights.upper.entries()) {
    const layer = index + 1;
    const x = rmsNorm(parts, residual, { name: `layer_${layer}.norm_attention`, gain: upper.normAttention });
    residual = decoderLayer(parts, { layer, x, residual, weights: upper }, shared);
  }
  builder.output("drafted", "float32", ["n", target.hidden], residual);
  const logProbs = await distribution(parts, residual);
  builder.output("log_probs", "float32", ["m", draftVocabulary], logProbs);
}

interface DecoderLayer {
  readonly layer: number;
  /** What attention reads. */
  readonly x: Value;
  /** [n, hidden] what its result is added to. */
  readonly residual: Value;
  readonly weights: HeadLayerWeights;
}

function decoderLayer(
  parts: HeadGraphParts,
  { layer, x, residual, weights }: DecoderLayer,
  shared: AttentionInputs,
): Value {
  const { builder, manifest } = parts;
  const { hidden } = manifest.target;
  const { ffn } = manifest;
  const name = (part: string) => `layer_${layer}.${part}`;
  const attended = attention(parts, { layer, x, qkv: weights.qkv }, shared);
  const update = product(builder, attended, {
    name: name("attn_output"),
    values: weights.attentionOutput,
    rows: hidden,
  });
  const middle = builder.node("Add", [residual, update]);
  const normed = rmsNorm(parts, middle, { name: name("norm_mlp"), gain: weights.normMlp });
  const gateUp = product(builder, normed, { name: name("gate_up"), values: weights.gateUp, rows: 2 * ffn });
  const [gate, up] = builder.nodes("Split", [gateUp, builder.ints(ffn, ffn)], 2, { attributes: { axis: 1 } });
  // With alpha 1, x · sigmoid(alpha · x) is silu in one pass.
  const silu = builder.node("QuickGelu", [gate!], { contrib: true, attributes: { alpha: { float: 1 } } });
  const inner = builder.node("Mul", [silu, up!]);
  const down = product(builder, inner, { name: name("down"), values: weights.down, rows: hidden });
  return builder.node("Add", [middle, down]);
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
  const draftHead = { name: "draft_head", values: rows, rows: manifest.draftVocabulary };
  const logits = product(builder, normed, draftHead);
  return builder.node("LogSoftmax", [logits], { attributes: { axis: -1 } });
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
