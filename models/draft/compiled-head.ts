import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { hashFile } from "../provision/file-hash.ts";
import { HeadManifestSchema } from "./head-manifest.ts";

export const COMPILED_HEAD_FILE = "head.json";
export const FUSION_GRAPH = "fusion.onnx";
export const LAYERS_GRAPH = "layers.onnx";

const CompiledHeadSchema = v.object({
  compiler: v.string(),
  /** Hash of the target's file. */
  source: v.string(),
  head: HeadManifestSchema,
  /** [draftVocabulary] token ids of the target. */
  vocabulary: v.array(v.pipe(v.number(), v.integer(), v.minValue(0))),
  files: v.array(v.object({ name: v.string(), bytes: v.number(), sha256: v.string() })),
});

/** What a compiled draft head is and which files it consists of; all that is needed to run it. */
export type CompiledHead = v.InferOutput<typeof CompiledHeadSchema>;

/** Throws when the folder holds no compiled draft head. */
export async function readCompiledHead(dir: string): Promise<CompiledHead> {
  return v.parse(CompiledHeadSchema, await Bun.file(join(dir, COMPILED_HEAD_FILE)).json());
}

/** The head in that folder; undefined when it is missing or its files are not as they were written. */
export async function findCompiledHead(dir: string): Promise<CompiledHead | undefined> {
  try {
    const compiled = await readCompiledHead(dir);
    for (const { name, bytes, sha256 } of compiled.files) {
      const path = join(dir, name);
      if ((await stat(path)).size !== bytes || (await hashFile(path)) !== sha256) return undefined;
    }
    return compiled;
  } catch {
    // Missing, unreadable or not a compiled head: in every case the remedy is to compile it.
    return undefined;
  }
}
