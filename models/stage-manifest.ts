import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";

export const MANIFEST_FILE = "manifest.json";

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const schema = v.object({
  compiler: v.string(),
  /** Hash of the model file that the stage was made from. */
  source: v.string(),
  firstLayer: count,
  endLayer: count,
  taps: v.array(count),
  numerics: v.picklist(["fast", "precise"]),
  /** Whether the stage embeds tokens, and whether it has the LM head. */
  first: v.boolean(),
  last: v.boolean(),
  hidden: count,
  kvHeads: count,
  headDim: count,
  vocab: count,
  contextLength: count,
  ropeBase: v.number(),
  ropeFactors: v.optional(v.array(v.number())),
  /** Shorter runs are padded to this many rows, where a single row would take another kernel. */
  minimumRows: count,
  minimumHeadRows: count,
  files: v.array(v.object({ name: v.string(), bytes: count, sha256: v.string() })),
});

/** What a compiled stage is and which files it consists of; all that is needed to run it. */
export type StageManifest = v.InferOutput<typeof schema>;

/** Throws when the file is missing or is no manifest. */
export async function readManifest(dir: string): Promise<StageManifest> {
  return v.parse(schema, JSON.parse(await readFile(join(dir, MANIFEST_FILE), "utf8")));
}
