import { dirname, join } from "node:path";
import * as v from "valibot";
import { ModelFileError } from "../errors.ts";
import type { GgufFile } from "../gguf/gguf-file.ts";
import { readLlamaConfig } from "../gguf/llama-config.ts";
import { QUANT_BLOCK } from "./quantise-rows.ts";
import { tokenizerSha256 } from "./tokenizer-hash.ts";

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits are needed"));
/** Rows of the weights are cut into blocks when they are rounded to 8 bits. */
const blocks = v.pipe(count, v.multipleOf(QUANT_BLOCK));

/** What both versions have. */
const common = {
  format: v.literal("flowmesh-draft-head"),
  /** A safetensors file in the manifest's folder. */
  weights: v.object({
    file: v.pipe(v.string(), v.regex(/^[^/\\]+$/, "a file name without folders is needed")),
    sha256,
  }),
  target: v.object({
    name: v.string(),
    /** The file whose hidden states the head learnt from; other files of the same model fit too. */
    trainedOn: v.string(),
    sha256,
    hidden: blocks,
    layers: count,
    vocabulary: count,
  }),
  /** 1-based layers of the target, ascending, whose output the head reads. */
  taps: v.pipe(
    v.array(count),
    v.minLength(1),
    v.check((taps) => taps.every((tap, i) => tap > (taps[i - 1] ?? 0)), "ascending layers are needed"),
  ),
  heads: count,
  kvHeads: count,
  headDim: v.pipe(count, v.multipleOf(2)),
  ffn: blocks,
  ropeBase: v.pipe(v.number(), v.gtValue(0)),
  rmsEps: v.pipe(v.number(), v.gtValue(0)),
  /** Tokens that it can draft. */
  draftVocabulary: count,
  licence: v.string(),
};

/** Heads of one layer, without a record of tokenizer and quality. */
const version1 = v.pipe(
  v.object({ ...common, version: v.literal(1), training: v.string() }),
  v.transform((manifest) => ({ ...manifest, layers: 1 })),
);

const version2 = v.object({
  ...common,
  version: v.literal(2),
  /** Decoder layers of the head. */
  layers: count,
  /** `tokenizerSha256` of the target. */
  tokenizerSha256: sha256,
  /** The trainer's own measurement, on prompts that it did not train with. */
  acceptance: v.object({
    prompts: v.pipe(v.number(), v.integer(), v.minValue(0)),
    tokens: v.pipe(v.number(), v.integer(), v.minValue(0)),
    temperature: v.pipe(v.number(), v.minValue(0)),
    /** Share of the target's tokens that are the best guess, or among the best 4 or 8. */
    rows: v.array(v.object({ depth: count, top1: share, top4: share, top8: share })),
  }),
  /** How it was made. */
  training: v.union([v.string(), v.record(v.string(), v.unknown())]),
});

/** The JSON file beside a draft head's weights: what it was made for and how it is computed. */
export const HeadManifestSchema = v.pipe(
  v.variant("version", [version1, version2]),
  v.check(({ heads, kvHeads }) => heads % kvHeads === 0, "heads must be a multiple of kvHeads"),
  v.check(
    ({ heads, headDim }) => (heads * headDim) % QUANT_BLOCK === 0,
    `heads times headDim must be a multiple of ${QUANT_BLOCK}`,
  ),
  v.check(
    ({ draftVocabulary, target }) => draftVocabulary <= target.vocabulary,
    "draftVocabulary must not be greater than the target's vocabulary",
  ),
);

export type HeadManifest = v.InferOutput<typeof HeadManifestSchema>;

const VERSIONS_KNOWN: readonly unknown[] = [1, 2];

/** @throws {ModelFileError} when the file cannot be read or is no manifest of a draft head. */
export async function readHeadManifest(path: string): Promise<HeadManifest> {
  const remedy = "Give the .json file beside a draft head's weights";
  let json: unknown;
  try {
    json = await Bun.file(path).json();
  } catch (cause) {
    throw new ModelFileError(path, `it cannot be read (${(cause as Error).message})`, remedy, { cause });
  }
  refuseOtherVersion(path, json);
  const result = v.safeParse(HeadManifestSchema, json);
  if (!result.success) {
    const [issue] = result.issues;
    const place = v.getDotPath(issue) ?? "the file";
    throw new ModelFileError(path, `it is no draft-head manifest: ${place}: ${issue.message}`, remedy);
  }
  return result.output;
}

function refuseOtherVersion(path: string, json: unknown): void {
  const parsed = v.safeParse(v.object({ format: common.format, version: v.number() }), json);
  if (!parsed.success || VERSIONS_KNOWN.includes(parsed.output.version)) return;
  throw new ModelFileError(
    path,
    `it is a draft-head manifest of version ${parsed.output.version}, and this program reads ${VERSIONS_KNOWN.join(" and ")}`,
    "Update the program, or use a head made for it",
  );
}

export function headWeightsPath(manifestPath: string, manifest: HeadManifest): string {
  return join(dirname(manifestPath), manifest.weights.file);
}

/**
 * A head reads the target's hidden states and names its tokens, so it fits only targets of the size and
 * with the tokens that it was trained with.
 * @throws {ModelFileError} naming everything that differs.
 */
export function refuseOtherTarget(path: string, manifest: HeadManifest, gguf: GgufFile): void {
  const { target, taps } = manifest;
  const config = readLlamaConfig(gguf);
  const differences = [
    { what: "hidden size", head: target.hidden, model: config.hidden },
    { what: "layers", head: target.layers, model: config.layers },
    { what: "vocabulary", head: target.vocabulary, model: config.vocab },
  ]
    .filter(({ head, model }) => head !== model)
    .map(({ what, head, model }) => `${what} ${head}, not ${model}`);
  const isOtherTokenizer = manifest.version === 2 && manifest.tokenizerSha256 !== tokenizerSha256(gguf);
  if (differences.length === 0 && isOtherTokenizer) differences.push("the tokens are others");
  if (differences.length > 0) {
    throw new ModelFileError(
      path,
      `this draft head is for ${target.name} and does not fit ${config.name} (${differences.join("; ")})`,
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
