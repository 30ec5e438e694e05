import type { Value } from "../onnx/graph-builder.ts";
import { bytesOf } from "./linear.ts";
import type { GraphParts } from "./stage-graph.ts";
import { readVector } from "./weight-tensor.ts";

/** RMS norm of x [n, hidden] with the model's gain `tensor` [hidden]. */
export async function rmsNorm(parts: GraphParts, x: Value, tensor: string): Promise<Value> {
  const gain = await normGain(parts, tensor);
  return parts.builder.node("SimplifiedLayerNormalization", [x, gain], {
    attributes: { axis: -1, epsilon: { float: parts.config.rmsEps } },
  });
}

/**
 * Like `rmsNorm`, by the operator of `addAndNorm`: onnxruntime's two operators differ in the last bit, and a
 * layer must give the same bits at the start of a stage as in its middle.
 */
export async function normAlone(parts: GraphParts, residual: Value, tensor: string): Promise<Value> {
  const zero = parts.builder.node("Sub", [residual, residual]);
  return (await addAndNorm(parts, residual, zero, tensor)).normed;
}

/** The residual stream after `update` was added, and its RMS norm. */
export async function addAndNorm(
  parts: GraphParts,
  residual: Value,
  update: Value,
  tensor: string,
): Promise<{ residual: Value; normed: Value }> {
  const gain = await normGain(parts, tensor);
  const [normed, , , sum] = parts.builder.pick(
    "SkipSimplifiedLayerNormalization",
    [update, residual, gain],
    [true, false, false, true],
    { contrib: true, attributes: { epsilon: { float: parts.config.rmsEps } } },
  );
  return { residual: sum!, normed: normed! };
}

async function normGain({ builder, gguf, config }: GraphParts, tensor: string): Promise<Value> {
  const gain = await readVector(gguf, tensor);
  return builder.initializer(tensor, { type: "float32", dims: [config.hidden] }, bytesOf(gain));
}
