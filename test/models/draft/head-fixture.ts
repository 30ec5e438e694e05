import { compileDraftHead } from "../../../models/draft/compile-head.ts";
import { type HeadManifest, headWeightsPath, readHeadManifest } from "../../../models/draft/head-manifest.ts";
import { readHeadWeights } from "../../../models/draft/head-weights.ts";
import { dequantize } from "../../../models/gguf/dequantize.ts";
import { openGguf } from "../../../models/gguf/gguf-file.ts";
import { readVector, weightTensor } from "../../../models/graph/weight-tensor.ts";
import { ReferenceHead } from "./reference-head.ts";

export interface HeadFixture {
  /** Folder of the compiled head. */
  readonly dir: string;
  readonly manifest: HeadManifest;
  readonly reference: ReferenceHead;
}

/** Compiles a head for a target and sets up the reference for the same two. */
export async function headFixture(
  ggufPath: string,
  manifestPath: string,
  cacheDir: string,
): Promise<HeadFixture> {
  const gguf = await openGguf(ggufPath);
  try {
    const dir = await compileDraftHead(gguf, { manifestPath, cacheDir, sourceHash: "test" });
    const manifest = await readHeadManifest(manifestPath);
    const weights = await readHeadWeights(headWeightsPath(manifestPath, manifest), manifest);
    const { type, rows, columns } = weightTensor(gguf, "token_embd.weight");
    const table = await gguf.readTensor("token_embd.weight");
    const rowBytes = table.byteLength / rows;
    const known = new Map<number, Float32Array>();
    const embedding = (token: number) => {
      const row =
        known.get(token) ??
        dequantize(type, table.subarray(token * rowBytes, (token + 1) * rowBytes), columns);
      known.set(token, row);
      return row;
    };
    const finalGain = await readVector(gguf, "output_norm.weight");
    return { dir, manifest, reference: new ReferenceHead(manifest, weights, { embedding, finalGain }) };
  } finally {
    await gguf.close();
  }
}
