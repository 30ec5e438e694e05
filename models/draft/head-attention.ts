import type { Value } from "../onnx/graph-builder.ts";
import type { HeadGraphParts } from "./head-graph.ts";
import { product } from "./head-products.ts";

/** Graph inputs that all layers of a head share. */
export interface AttentionInputs {
  /** [n, headDim / 2] of the rows' positions. */
  readonly cos: Value;
  readonly sin: Value;
  /** [n, rows] and [n, n], added to the scores. */
  readonly pastMask: Value;
  readonly newMask: Value;
  /** [group · n, rows + n]: both, for each query head of a group. */
  readonly mask: Value;
  /** [2] columns of the two masks. */
  readonly columns: Value;
}

/** Declares the inputs `cos`, `sin`, `past_mask` and `new_mask`. */
export function attentionInputs({ builder, manifest }: HeadGraphParts): AttentionInputs {
  const { heads, kvHeads, headDim } = manifest;
  const cos = builder.input("cos", "float32", ["n", headDim / 2]);
  const sin = builder.input("sin", "float32", ["n", headDim / 2]);
  const pastMask = builder.input("past_mask", "float32", ["n", "rows"]);
  const newMask = builder.input("new_mask", "float32", ["n", "n"]);
  const mask = builder.node("Tile", [
    builder.node("Concat", [pastMask, newMask], { attributes: { axis: 1 } }),
    builder.ints(heads / kvHeads, 1),
  ]);
  const columnsOf = (of: Value) => builder.node("Shape", [of], { attributes: { start: 1 } });
  const columns = builder.node("Concat", [columnsOf(pastMask), columnsOf(newMask)], {
    attributes: { axis: 0 },
  });
  return { cos, sin, pastMask, newMask, mask, columns };
}

interface LayerInput {
  /** 0-based. */
  readonly layer: number;
  /** [n, in] */
  readonly x: Value;
  /** [(heads + 2 · kvHeads) · headDim, in] */
  readonly qkv: Float32Array;
}

/**
 * Attention over the cached and the new rows: [n, heads · headDim]. Declares the layer's inputs `past_k_…`
 * and `past_v_…` [1, kvHeads, rows, headDim] and its output `kv_new_…` [2, kvHeads, n, headDim].
 */
export function attention(
  parts: HeadGraphParts,
  { layer, x, qkv }: LayerInput,
  shared: AttentionInputs,
): Value {
  const { builder, manifest } = parts;
  const { heads, kvHeads, headDim } = manifest;
  const rows = (heads + 2 * kvHeads) * headDim;
  const packed = product(builder, x, { name: `layer_${layer}.qkv`, values: qkv, rows });
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
  const rotated = builder.node("RotaryEmbedding", [unrotated!, builder.ints(0), shared.cos, shared.sin], {
    contrib: true,
  });
  const [query, keys] = builder.nodes("Split", [rotated, builder.ints(heads, kvHeads)], 2, alongHeads);
  const fresh = builder.node("Concat", [keys!, values!], { attributes: { axis: 0 } });
  builder.output(`kv_new_${layer}`, "float32", [2, kvHeads, "n", headDim], fresh);

  const grouped = builder.node("Reshape", [query!, builder.ints(1, kvHeads, -1, headDim)]);
  const mean = weightedValues(parts, { layer, query: grouped, keys: keys!, values: values! }, shared);
  const perHead = builder.node("Reshape", [mean, builder.ints(1, heads, -1, headDim)]);
  return builder.node("Reshape", [
    builder.node("Transpose", [perHead], { attributes: { perm: [0, 2, 1, 3] } }),
    builder.ints(-1, heads * headDim),
  ]);
}

interface HeadRows {
  readonly layer: number;
  readonly query: Value;
  readonly keys: Value;
  readonly values: Value;
}

/** Softmax(q · kᵀ) · v over two parts, so that the cache is never copied: [1, kvHeads, group · n, headDim]. */
function weightedValues(
  { builder, manifest }: HeadGraphParts,
  { layer, query, keys, values }: HeadRows,
  { mask, columns }: AttentionInputs,
): Value {
  const { kvHeads, headDim } = manifest;
  const cacheDims = [1, kvHeads, "rows", headDim];
  const pastKeys = builder.input(`past_k_${layer}`, "float32", cacheDims);
  const pastValues = builder.input(`past_v_${layer}`, "float32", cacheDims);
  const scaled = { contrib: true, attributes: { transB: 1, alpha: { float: headDim ** -0.5 } } };
  const scores = builder.node(
    "Concat",
    [
      builder.node("FusedMatMul", [query, pastKeys], scaled),
      builder.node("FusedMatMul", [query, keys], scaled),
    ],
    { attributes: { axis: 3 } },
  );
  const weights = builder.node("Softmax", [builder.node("Add", [scores, mask])], {
    attributes: { axis: -1 },
  });
  const [pastWeights, newWeights] = builder.nodes("Split", [weights, columns], 2, {
    attributes: { axis: 3 },
  });
  return builder.node("Add", [
    builder.node("MatMul", [pastWeights!, pastValues]),
    builder.node("MatMul", [newWeights!, values]),
  ]);
}
