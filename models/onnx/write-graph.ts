import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GraphBuilder } from "./graph-builder.ts";
import { WeightsFile } from "./weights-file.ts";

export interface GraphFiles {
  /** Of the graph, inside its file. */
  readonly name: string;
  /** The `.onnx` file, and the one of its weights beside it. */
  readonly file: string;
  readonly weights: string;
}

/** Writes what `build` puts together into the folder `dir`. */
export async function writeGraph(
  dir: string,
  { name, file, weights: weightsName }: GraphFiles,
  build: (builder: GraphBuilder) => void | Promise<void>,
): Promise<void> {
  const weights = new WeightsFile(join(dir, weightsName), weightsName);
  try {
    const builder = new GraphBuilder(name, weights);
    await build(builder);
    await writeFile(join(dir, file), builder.build());
  } finally {
    weights.close();
  }
}
