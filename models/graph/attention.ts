import type { LlamaConfig } from "../gguf/llama-config.ts";
import type { Value } from "../onnx/graph-builder.ts";
import { ElementType } from "../onnx/schema.ts";
import { linear } from "./linear.ts";
import type { GraphParts } from "./stage-graph.ts";

/** Inputs that all layers of a stage share. */
export interface AttentionInputs {
  /** [n, headDim / 2] cosines and sines of each node's position. */
  readonly cos: Value;
  readonly sin: Value;
  /** [group · n, rows + n] 0 or a large negative number, repeated for each query head of a group. */
  readonly mask: Value;
  /** Lengths [rows, n] of the cached and the new part. */
  readonly partLengths: Value;
}

export interface LayerCache {
  /** Both [1, kvHeads, rows, headDim]. */
  readonly keys: Value;
  readonly values: Value;
}

export interface AttentionResult {
  /** [n, hidden] */
  readonly output: Value;
  /** Both [1, kvHeads, n, headDim]: rows for the cache. */
  readonly keys: Value;
  readonly values: Value;
}

/**
 * Tree attention of n nodes over cached rows and each other.
 *
 * A node's result is the same to the last bit however many nodes are beside it and wherever the rows it
 * sees lie between rows it does not see: each score is a sum over one head's elements alone, a maximum has
 * no order, and the sums over rows are taken in double on values rounded to a grid, where they are exact.
 */
export async function attention(
  parts: GraphParts,
  layer: number,
  x: Value,
  inputs: AttentionInputs & LayerCache,
): Promise<AttentionResult> {
  const { builder, config } = parts;
  const { query, keys, values } = await projections(parts, layer, x, inputs);
  const scale = { contrib: true, attributes: { transB: 1, alpha: { float: config.headDim ** -0.5 } } };
  const scores = builder.node("Add", [
    builder.node(
      "Concat",
      [
        builder.node("FusedMatMul", [query, inputs.keys], scale),
        builder.node("FusedMatMul", [query, keys], scale),
      ],
      { attributes: { axis: 3 } },
    ),
    inputs.mask,
  ]);
  const weights = exponentials(parts, scores);
  const [pastWeights, newWeights] = builder.nodes("Split", [weights, inputs.partLengths], 2, {
    attributes: { axis: 3 },
  });
  const sum = builder.node("Add", [
    builder.node("MatMul", [pastWeights!, cast(parts, inputs.values, "float64")]),
    builder.node("MatMul", [newWeights!, cast(parts, values, "float64")]),
  ]);
  const mean = builder.node("Div", [sum, builder.node("ReduceSum", [weights, builder.ints(3)])]);
  const heads = builder.node("Reshape", [
    cast(parts, mean, "float32"),
    builder.ints(1, config.heads, -1, config.headDim),
  ]);
  const rows = builder.node("Reshape", [
    builder.node("Transpose", [heads], { attributes: { perm: [0, 2, 1, 3] } }),
    builder.ints(-1, config.heads * config.headDim),
  ]);
  const output = await linear(parts, `blk.${layer}.attn_output`, rows, [
    { tensor: `blk.${layer}.attn_output.weight` },
  ]);
  return { output, keys, values };
}

/** The largest weight of a row is 2 to this power, and weights are whole numbers. */
const WEIGHT_BITS = 22;
/** Adding and subtracting it rounds |v| < 64 to multiples of 2^-16. */
const VALUE_GRID = 192;

/** exp(scores) up to a factor that is the same for a whole row, as whole numbers in double. */
function exponentials(parts: GraphParts, scores: Value): Value {
  const { builder } = parts;
  const max = builder.node("ReduceMax", [scores, builder.ints(3)]);
  const origin = builder.node("Sub", [max, builder.scalar("float32", WEIGHT_BITS * Math.LN2)]);
  const exponentials = builder.node("Exp", [builder.node("Sub", [scores, origin])]);
  return cast(parts, cast(parts, exponentials, "int32"), "float64");
}

const onGrid = ({ builder }: GraphParts, x: Value, grid: number): Value =>
  builder.node("Sub", [
    builder.node("Add", [x, builder.scalar("float32", grid)]),
    builder.scalar("float32", grid),
  ]);

const cast = ({ builder }: GraphParts, x: Value, type: ElementType): Value =>
  builder.node("Cast", [x], { attributes: { to: ElementType[type] } });

/** Rotated queries [1, kvHeads, group · n, headDim], rotated keys and values [1, kvHeads, n, headDim]. */
async function projections(parts: GraphParts, layer: number, x: Value, inputs: AttentionInputs) {
  const { builder, config } = parts;
  const { heads, kvHeads, headDim } = config;
  const packed = await linear(parts, `blk.${layer}.attn_qkv`, x, [
    { tensor: `blk.${layer}.attn_q.weight`, rowOrder: halfSplitOrder(config) },
    { tensor: `blk.${layer}.attn_k.weight`, rowOrder: halfSplitOrder(config) },
    { tensor: `blk.${layer}.attn_v.weight` },
  ]);
  const byHead = builder.node(
    "Transpose",
    [builder.node("Reshape", [packed, builder.ints(1, -1, heads + 2 * kvHeads, headDim)])],
    { attributes: { perm: [0, 2, 1, 3] } },
  );
  const [unrotated, values] = builder.nodes("Split", [byHead, builder.ints(heads + kvHeads, kvHeads)], 2, {
    attributes: { axis: 1 },
  });
  const rotated = builder.node("RotaryEmbedding", [unrotated!, builder.ints(0), inputs.cos, inputs.sin], {
    contrib: true,
  });
  const [query, keys] = builder.nodes("Split", [rotated, builder.ints(heads, kvHeads)], 2, {
    attributes: { axis: 1 },
  });
  return {
    query: builder.node("Reshape", [query!, builder.ints(1, kvHeads, -1, headDim)]),
    keys: keys!,
    values: onGrid(parts, values!, VALUE_GRID),
  };
}

/**
 * GGUF stores the rows of q and k for rotation of neighbouring elements; here the halves of a head are
 * rotated against each other: row h·d + half·(d/2) + i comes from row h·d + 2i + half.
 */
const halfSplitOrder =
  ({ headDim }: LlamaConfig) =>
  (row: number): number => {
    const head = Math.floor(row / headDim) * headDim;
    const within = row - head;
    const half = headDim / 2;
    return head + (within < half ? 2 * within : 2 * (within - half) + 1);
  };
