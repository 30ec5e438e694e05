import { GREEDY } from "../../decoding/sampling-params.ts";
import { compileDraftHead } from "../../models/draft/compile-head.ts";
import { HeadDraftEngine } from "../../models/draft/head-draft-engine.ts";
import { type HeadManifest, readHeadManifest } from "../../models/draft/head-manifest.ts";
import { OrtHeadModel } from "../../models/draft/ort-head-model.ts";
import { ModelFileError } from "../../models/errors.ts";
import type { GgufFile } from "../../models/gguf/gguf-file.ts";

export interface HeadCheck {
  readonly manifestPath: string;
  readonly cacheDir: string;
  /** Hash of the target's file. */
  readonly sourceHash: string;
}

const GUESSES = {
  growth: "level",
  topK: 4,
  batch: 4,
  depth: 2,
  total: 20,
  minProbability: 0,
  coupled: false,
} as const;

/**
 * Loads a head as a mesh would and has it draft once.
 * @throws {ModelFileError} when it can't be used.
 */
export async function checkHead(gguf: GgufFile, check: HeadCheck): Promise<HeadManifest> {
  const dir = await compileDraftHead(gguf, check);
  const model = await OrtHeadModel.open(dir, 1);
  const engine = new HeadDraftEngine(model, { withNgrams: false });
  try {
    const tokens = model.vocabulary.slice(0, 3);
    const root = tokens[2] ?? 0;
    await engine.begin("check", Uint32Array.from(tokens.subarray(0, 2)));
    const taps = model.taps.map(() => Float32Array.from({ length: 2 * model.hidden }, (_, i) => Math.sin(i)));
    const nextTokens = Uint32Array.from(tokens.subarray(1));
    await engine.extend({ session: "check", position: 0, nextTokens, taps });
    const { scores } = await engine.expand({ session: "check", path: [root], ...GUESSES, sampling: GREEDY });
    if (scores.length === 0 || scores.some((score) => !Number.isFinite(score))) {
      throw new ModelFileError(
        check.manifestPath,
        "it drafts nothing that has a probability",
        "Train it anew",
      );
    }
  } finally {
    await engine.close();
  }
  return readHeadManifest(check.manifestPath);
}
