import { ModelFileError } from "../errors.ts";
import { openSafetensors } from "../safetensors.ts";
import type { HeadManifest } from "./head-manifest.ts";

/** A draft head's weights in fp32; matrices are [out, in], row-major. */
export interface HeadWeights {
  /** [hidden, taps · hidden] */
  readonly fc: Float32Array;
  /** [(heads + 2 · kvHeads) · headDim, 2 · hidden] */
  readonly qkv: Float32Array;
  /** [hidden, heads · headDim] */
  readonly attentionOutput: Float32Array;
  /** [2 · ffn, hidden] */
  readonly gateUp: Float32Array;
  /** [hidden, ffn] */
  readonly down: Float32Array;
  /** Gains [hidden]. */
  readonly normEmbedding: Float32Array;
  readonly normFeature: Float32Array;
  readonly normMlp: Float32Array;
  readonly normOutput: Float32Array;
  /** [draftVocabulary] token ids of the target. */
  readonly vocabulary: Int32Array;
}

/** @throws {ModelFileError} when the weights are damaged or are not what the manifest says. */
export async function readHeadWeights(path: string, manifest: HeadManifest): Promise<HeadWeights> {
  const { target, taps, heads, kvHeads, headDim, ffn, draftVocabulary } = manifest;
  const { hidden } = target;
  const file = await openSafetensors(path);
  try {
    const vocabulary = await file.readIntegers("vocabulary", [draftVocabulary]);
    if (vocabulary.some((token) => token < 0 || token >= target.vocabulary)) {
      const problem = `its draft vocabulary has tokens outside the target's ${target.vocabulary}`;
      throw new ModelFileError(path, problem, "Use weights made for this target");
    }
    return {
      fc: await file.readFloats("fc", [hidden, taps.length * hidden]),
      qkv: await file.readFloats("qkv", [(heads + 2 * kvHeads) * headDim, 2 * hidden]),
      attentionOutput: await file.readFloats("attn_output", [hidden, heads * headDim]),
      gateUp: await file.readFloats("gate_up", [2 * ffn, hidden]),
      down: await file.readFloats("down", [hidden, ffn]),
      normEmbedding: await file.readFloats("norm_embedding", [hidden]),
      normFeature: await file.readFloats("norm_feature", [hidden]),
      normMlp: await file.readFloats("norm_mlp", [hidden]),
      normOutput: await file.readFloats("norm_output", [hidden]),
      vocabulary,
    };
  } finally {
    await file.close();
  }
}
