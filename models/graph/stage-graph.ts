import type { GgufFile } from "../gguf/gguf-file.ts";
import type { LlamaConfig } from "../gguf/llama-config.ts";
import type { GraphBuilder } from "../onnx/graph-builder.ts";
import type { Numerics } from "../stage-spec.ts";

/** The model that a graph is made from. */
export interface ModelParts {
  readonly gguf: GgufFile;
  readonly config: LlamaConfig;
  readonly numerics: Numerics;
}

/** What the parts of a graph are built with. */
export interface GraphParts extends ModelParts {
  readonly builder: GraphBuilder;
}
