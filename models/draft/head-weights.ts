import { ModelFileError } from "../errors.ts";
import { openSafetensors, type SafetensorsFile } from "../safetensors.ts";
import type { HeadManifest } from "./head-manifest.ts";

/** One decoder layer; matrices are [out, in], row-major. */
export interface HeadLayerWeights {
  /** [(heads + 2 · kvHeads) · headDim, in]; in is 2 · hidden for the first layer and hidden for the others. */
  readonly qkv: Float32Array;
  /** [hidden, heads · headDim] */
  readonly attentionOutput: Float32Array;
  /** Gain [hidden]. */
  readonly normMlp: Float32Array;
  /** [2 · ffn, hidden] */
  readonly gateUp: Float32Array;
  /** [hidden, ffn] */
  readonly down: Float32Array;
}

/** A layer above the first: an ordinary one, whose input is the output of the layer below. */
export interface UpperLayerWeights extends HeadLayerWeights {
  /** Gain [hidden]. */
  readonly normAttention: Float32Array;
}

/** A draft head's weights in fp32. */
export interface HeadWeights {
  /** [hidden, taps · hidden] */
  readonly fc: Float32Array;
  /** Gains [hidden] of the two halves of the first layer's input. */
  readonly normEmbedding: Float32Array;
  readonly normFeature: Float32Array;
  readonly first: HeadLayerWeights;
  /** [layers − 1] */
  readonly upper: readonly UpperLayerWeights[];
  /** Gain [hidden]. */
  readonly normOutput: Float32Array;
  /** [draftVocabulary] token ids of the target. */
  readonly vocabulary: Int32Array;
}

/** @throws {ModelFileError} when the weights are damaged or are not what the manifest says. */
export async function readHeadWeights(path: string, manifest: HeadManifest): Promise<HeadWeights> {
  const { target, taps, layers } = manifest;
  const { hidden } = target;
  const file = await openSafetensors(path);
  try {
    const vocabulary = await readVocabulary(file, manifest);
    const upper: UpperLayerWeights[] = [];
    for (let layer = 1; layer < layers; layer++) {
      const prefix = `layers.${layer}.`;
      upper.push({
        normAttention: await file.readFloats(`${prefix}norm_attention`, [hidden]),
        ...(await readLayer(file, manifest, { prefix, columns: hidden })),
      });
    }
    refuseMoreLayers(file, layers);
    return {
      fc: await file.readFloats("fc", [hidden, taps.length * hidden]),
      normEmbedding: await file.readFloats("norm_embedding", [hidden]),
      normFeature: await file.readFloats("norm_feature", [hidden]),
      first: await readLayer(file, manifest, { prefix: "", columns: 2 * hidden }),
      upper,
      normOutput: await file.readFloats("norm_output", [hidden]),
      vocabulary,
    };
  } finally {
    await file.close();
  }
}

async function readVocabulary(
  file: SafetensorsFile,
  { target, draftVocabulary }: HeadManifest,
): Promise<Int32Array> {
  const vocabulary = await file.readIntegers("vocabulary", [draftVocabulary]);
  const refuse = (problem: string): never => {
    throw new ModelFileError(file.path, problem, "Use weights made for this target");
  };
  if (vocabulary.some((token) => token < 0 || token >= target.vocabulary)) {
    refuse(`its draft vocabulary has tokens outside the target's ${target.vocabulary}`);
  }
  if (new Set(vocabulary).size < vocabulary.length) refuse("its draft vocabulary has a token twice");
  return vocabulary;
}

async function readLayer(
  file: SafetensorsFile,
  { target, heads, kvHeads, headDim, ffn }: HeadManifest,
  { prefix, columns }: { readonly prefix: string; readonly columns: number },
): Promise<HeadLayerWeights> {
  const { hidden } = target;
  const read = (name: string, shape: readonly number[]) => file.readFloats(`${prefix}${name}`, shape);
  return {
    qkv: await read("qkv", [(heads + 2 * kvHeads) * headDim, columns]),
    attentionOutput: await read("attn_output", [hidden, heads * headDim]),
    normMlp: await read("norm_mlp", [hidden]),
    gateUp: await read("gate_up", [2 * ffn, hidden]),
    down: await read("down", [hidden, ffn]),
  };
}

/** Layers that the manifest does not know would silently be left out. */
function refuseMoreLayers(file: SafetensorsFile, layers: number): void {
  const deepest = [...file.tensors.keys()].reduce((most, name) => {
    const layer = /^layers\.(\d+)\./.exec(name)?.[1];
    return layer === undefined ? most : Math.max(most, Number(layer));
  }, 0);
  if (deepest < layers) return;
  throw new ModelFileError(
    file.path,
    `it has ${deepest + 1} layers, and its manifest says ${layers}`,
    "Correct the manifest, or use the weights that it was made for",
  );
}
