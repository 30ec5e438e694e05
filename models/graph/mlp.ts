import type { Value } from "../onnx/graph-builder.ts";
import { linear } from "./linear.ts";
import type { GraphParts } from "./stage-graph.ts";

/** Llama's gated feed-forward network: down(silu(gate(x)) · up(x)), [n, hidden] to [n, hidden]. */
export async function mlp(parts: GraphParts, layer: number, x: Value): Promise<Value> {
  const { builder, config } = parts;
  const name = `blk.${layer}.ffn`;
  const gateUp = await linear(parts, `${name}_gate_up`, x, [
    { tensor: `${name}_gate.weight` },
    { tensor: `${name}_up.weight` },
  ]);
  const [gate, up] = builder.nodes("Split", [gateUp, builder.ints(config.ffn, config.ffn)], 2, {
    attributes: { axis: 1 },
  });
  // With alpha 1, x · sigmoid(alpha · x) is silu in one pass.
  const silu = builder.node("QuickGelu", [gate!], { contrib: true, attributes: { alpha: { float: 1 } } });
  const inner = builder.node("Mul", [silu, up!]);
  return linear(parts, `${name}_down`, inner, [{ tensor: `${name}_down.weight` }]);
}
