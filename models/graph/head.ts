import { linear } from "./linear.ts";
import { rmsNorm } from "./norm.ts";
import type { GraphParts } from "./stage-graph.ts";

/** Builds the final norm and the LM head: `hidden` [n, hidden] to `logits` [n, vocabulary]. */
export async function buildHead(parts: GraphParts): Promise<void> {
  const { builder, config } = parts;
  const hidden = builder.input("hidden", "float32", ["n", config.hidden]);
  const normed = await rmsNorm(parts, hidden, "output_norm.weight");
  const tensor = config.tiedEmbeddings ? "token_embd.weight" : "output.weight";
  const logits = await linear(parts, "lm_head", normed, [{ tensor }]);
  builder.output("logits", "float32", ["n", config.vocab], logits);
}
