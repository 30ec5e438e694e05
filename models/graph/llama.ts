import type { Value } from "../onnx/graph-builder.ts";
import { isFirstStage, type StageSpec } from "../stage-spec.ts";
import { type AttentionInputs, attention } from "./attention.ts";
import { embedding } from "./embedding.ts";
import { isStableForOneRow } from "./linear.ts";
import { mlp } from "./mlp.ts";
import { addAndNorm, normAlone } from "./norm.ts";
import type { GraphParts, ModelParts } from "./stage-graph.ts";

/**
 * Builds one stage: layers [firstLayer, endLayer), with the embedding in front at the first stage.
 *
 * Inputs, for n nodes and a cache of `rows` rows: `tokens` [n] int64 at the first stage, else `residual`
 * [n, hidden]; `cos` and `sin` [n, headDim / 2]; `past_mask` [n, rows] and `new_mask` [n, n], added to the
 * scores; `past_k_i` and `past_v_i` [1, kvHeads, rows, headDim] for the i-th layer of the stage.
 * Outputs: `hidden` [n, hidden]; `kv_new` [2 · layers, kvHeads, n, headDim], keys and values by turns; and
 * `tap_L` [n, hidden] for each tap.
 */
export async function buildStage(parts: GraphParts, spec: StageSpec): Promise<void> {
  const { builder, config } = parts;
  const inputs = sharedInputs(parts);
  const layers = spec.endLayer - spec.firstLayer;
  let residual = isFirstStage(spec)
    ? await embedding(parts, builder.input("tokens", "int64", ["n"]))
    : builder.input("residual", "float32", ["n", config.hidden]);
  let update: Value | undefined;
  const fresh: Value[] = [];
  const taps: [layer: number, rows: Value][] = [];
  for (let index = 0; index < layers; index++) {
    const layer = spec.firstLayer + index;
    const start = await enterLayer(parts, layer, residual, update);
    if (update !== undefined && spec.taps.includes(layer)) taps.push([layer, start.residual]);
    const attended = await attention(parts, layer, start.normed, { ...inputs, ...cacheInputs(parts, index) });
    fresh.push(attended.keys, attended.values);
    const middle = await addAndNorm(parts, start.residual, attended.output, `blk.${layer}.ffn_norm.weight`);
    residual = middle.residual;
    update = await mlp(parts, layer, middle.normed);
  }
  const hidden = builder.node("Add", [update!, residual]);
  if (spec.taps.includes(spec.endLayer)) taps.push([spec.endLayer, hidden]);
  builder.output("hidden", "float32", ["n", config.hidden], hidden);
  const rows = builder.node("Concat", fresh, { attributes: { axis: 0 } });
  builder.output("kv_new", "float32", [2 * layers, config.kvHeads, "n", config.headDim], rows);
  for (const [layer, tap] of taps) builder.output(`tap_${layer}`, "float32", ["n", config.hidden], tap);
}

/** Fewest rows that the stage may be run with, for a row's bits not to depend on how many there are. */
export function minimumStageRows(parts: ModelParts, spec: StageSpec): number {
  for (let layer = spec.firstLayer; layer < spec.endLayer; layer++) {
    for (const { name, shape } of parts.gguf.tensors.values()) {
      const isMatrix = name.startsWith(`blk.${layer}.`) && shape.length === 2;
      if (isMatrix && !isStableForOneRow(parts, name)) return 2;
    }
  }
  return 1;
}

async function enterLayer(parts: GraphParts, layer: number, residual: Value, update: Value | undefined) {
  const gain = `blk.${layer}.attn_norm.weight`;
  if (update !== undefined) return addAndNorm(parts, residual, update, gain);
  return { residual, normed: await normAlone(parts, residual, gain) };
}

function sharedInputs({ builder, config }: GraphParts): AttentionInputs {
  const { heads, kvHeads, headDim } = config;
  const cos = builder.input("cos", "float32", ["n", headDim / 2]);
  const sin = builder.input("sin", "float32", ["n", headDim / 2]);
  const pastMask = builder.input("past_mask", "float32", ["n", "rows"]);
  const newMask = builder.input("new_mask", "float32", ["n", "n"]);
  const both = builder.node("Concat", [pastMask, newMask], { attributes: { axis: 1 } });
  const mask = builder.node("Tile", [both, builder.ints(heads / kvHeads, 1)]);
  const length = (mask: Value) => builder.node("Shape", [mask], { attributes: { start: 1 } });
  const partLengths = builder.node("Concat", [length(pastMask), length(newMask)], {
    attributes: { axis: 0 },
  });
  return { cos, sin, mask, partLengths };
}

function cacheInputs({ builder, config }: GraphParts, index: number) {
  const dims = [1, config.kvHeads, "rows", config.headDim];
  return {
    keys: builder.input(`past_k_${index}`, "float32", dims),
    values: builder.input(`past_v_${index}`, "float32", dims),
  };
}
