import type { GgufFile } from "../gguf/gguf-file.ts";
import type { LlamaConfig } from "../gguf/llama-config.ts";
import type { GraphBuilder } from "../onnx/graph-builder.ts";
import type { Numerics } from "../stage-spec.ts";

/** What the parts of a graph are built with. */
export interface GraphParts {
  readonly builder: GraphBuilder;
  readonly gguf: GgufFile;
  readonly config: LlamaConfig;
  readonly numerics: Numerics;
}
