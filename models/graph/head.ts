import type { LlamaConfig } from "../gguf/llama-config.ts";
import { isStableForOneRow, linear } from "./linear.ts";
import { rmsNorm } from "./norm.ts";
import type { GraphParts, ModelParts } from "./stage-graph.ts";

/** Builds the final norm and the LM head: `hidden` [n, hidden] to `logits` [n, vocabulary]. */
export async function buildHead(parts: GraphParts): Promise<void> {
  const { builder, config } = parts;
  const hidden = builder.input("hidden", "float32", ["n", config.hidden]);
  const normed = await rmsNorm(parts, hidden, "output_norm.weight");
  const logits = await linear(parts, "lm_head", normed, [{ tensor: headTensor(config) }]);
  builder.output("logits", "float32", ["n", config.vocab], logits);
}

/** As `minimumStageRows`. */
export const minimumHeadRows = (parts: ModelParts): number =>
  isStableForOneRow(parts, headTensor(parts.config)) ? 1 : 2;

const headTensor = ({ tiedEmbeddings }: LlamaConfig): string =>
  tiedEmbeddings ? "token_embd.weight" : "output.weight";
