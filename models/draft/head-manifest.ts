import { dirname, join } from "node:path";
import * as v from "valibot";
import { ModelFileError } from "../errors.ts";
import type { LlamaConfig } from "../gguf/llama-config.ts";

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits are needed"));

/** The JSON file beside a draft head's weights: what it was made for and how it is computed. */
export const HeadManifestSchema = v.object({
  format: v.literal("flowmesh-draft-head"),
  version: v.literal(1),
  /** A safetensors file in the manifest's folder. */
  weights: v.object({ file: v.string(), sha256 }),
  target: v.object({
    name: v.string(),
    /** The file whose hidden states the head learnt from; other files of the same model fit too. */
    trainedOn: v.string(),
    sha256,
    hidden: count,
    layers: count,
    vocabulary: count,
  }),
  /** 1-based layers of the target, ascending, whose output the head reads. */
  taps: v.pipe(v.array(count), v.minLength(1)),
  heads: count,
  kvHeads: count,
  headDim: v.pipe(count, v.multipleOf(2)),
  ffn: count,
  ropeBase: v.pipe(v.number(), v.gtValue(0)),
  rmsEps: v.pipe(v.number(), v.gtValue(0)),
  /** Tokens that it can draft. */
  draftVocabulary: count,
  licence: v.string(),
  training: v.string(),
});

export type HeadManifest = v.InferOutput<typeof HeadManifestSchema>;

/** @throws {ModelFileError} when the file cannot be read or is no manifest of a draft head. */
export async function readHeadManifest(path: string): Promise<HeadManifest> {
  const remedy = "Give the .json file beside a draft head's weights";
  let json: unknown;
  try {
    json = await Bun.file(path).json();
  } catch (cause) {
    throw new ModelFileError(path, `it cannot be read (${(cause as Error).message})`, remedy, { cause });
  }
  const result = v.safeParse(HeadManifestSchema, json);
  if (!result.success) {
    const [issue] = result.issues;
    const place = v.getDotPath(issue) ?? "the file";
    throw new ModelFileError(path, `it is no draft-head manifest: ${place}: ${issue.message}`, remedy);
  }
  return result.output;
}

export function headWeightsPath(manifestPath: string, manifest: HeadManifest): string {
  return join(dirname(manifestPath), manifest.weights.file);
}

/**
 * A head reads the target's hidden states, so it fits only targets of the size it was trained with.
 * @throws {ModelFileError} naming every size that differs.
 */
export function refuseOtherTarget(path: string, manifest: HeadManifest, config: LlamaConfig): void {
  const { target, taps } = manifest;
  const differences = [
    { what: "hidden size", head: target.hidden, model: config.hidden },
    { what: "layers", head: target.layers, model: config.layers },
    { what: "vocabulary", head: target.vocabulary, model: config.vocab },
  ].filter(({ head, model }) => head !== model);
  if (differences.length > 0) {
    const list = differences.map(({ what, head, model }) => `${what} ${head}, not ${model}`).join("; ");
    throw new ModelFileError(
      path,
      `this draft head is for ${target.name} and does not fit ${config.name} (${list})`,
      "Use a draft head trained for this model, or draft from n-grams alone",
    );
  }
  const outside = taps.find((tap) => tap > config.layers);
  if (outside === undefined) return;
  throw new ModelFileError(
    path,
    `it taps layer ${outside} of a model with ${config.layers} layers`,
    "Correct the manifest",
  );
}
