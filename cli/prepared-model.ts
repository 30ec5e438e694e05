import type { ModelRecord } from "../actors/mesh/records.ts";
import { DEFAULT_HEAD_MANIFEST } from "../models/draft/compile-head.ts";
import { readHeadManifest, refuseOtherTarget } from "../models/draft/head-manifest.ts";
import { ModelFileError } from "../models/errors.ts";
import { type GgufFile, openGguf } from "../models/gguf/gguf-file.ts";
import { type LlamaConfig, readLlamaConfig } from "../models/gguf/llama-config.ts";
import { PartitionError, partitionLayers } from "../models/partition.ts";
import { provideModel } from "../models/provision/model.ts";
import { DEFAULT_MODEL } from "../models/provision/model-catalogue.ts";
import type { Progress } from "./progress.ts";
import type { DrafterName, DraftKind } from "./role.ts";
import type { UpOptions } from "./up-options.ts";
import { UsageError } from "./usage-error.ts";

interface PreparedDraft {
  readonly kind: DraftKind;
  /** 1-based target layers whose output it reads, ascending. */
  readonly taps: readonly number[];
}

/** A model on this machine, and what the mesh is told of it. */
export interface PreparedModel {
  readonly path: string;
  /** All but the name of the list of parts. */
  readonly record: Omit<ModelRecord, "parts">;
}

export interface PrepareContext {
  readonly cache: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

type ModelOptions = Pick<UpOptions, "model" | "stages" | "numerics" | "drafter">;

/** Fetches the model, and sees that it can be served as asked for. */
export async function prepareModel(options: ModelOptions, context: PrepareContext): Promise<PreparedModel> {
  const { cache, progress, signal } = context;
  progress.begin("model");
  const model = await provideModel(options.model ?? DEFAULT_MODEL, {
    cacheRoot: cache,
    signal,
    onProgress: ({ doneBytes, totalBytes }) => totalBytes && progress.advance(doneBytes / totalBytes),
  });
  progress.done(`${model.displayName} (${model.path})`);
  const gguf = await openGguf(model.path);
  try {
    const config = readLlamaConfig(gguf);
    if (options.stages > 0) refuseStages(config, options.stages);
    const draft = await prepareDraft(options.drafter, config, progress);
    const { layers, contextLength, hidden } = config;
    const record = {
      id: model.displayName,
      sha256: model.sha256,
      bytes: gguf.sizeBytes,
      layers,
      contextLength,
      hidden,
      headLayers: headLayersOf(config),
      tied: config.tiedEmbeddings,
      ...weightBytes(gguf, layers),
      numerics: options.numerics,
      taps: [...(draft?.taps ?? [])],
      ...(draft && { drafter: draft.kind }),
    };
    return { path: model.path, record };
  } finally {
    await gguf.close();
  }
}

/** Bytes of the mean layer, of the embedding and of the LM head. */
function weightBytes(gguf: GgufFile, layers: number) {
  const sum = (matches: (name: string) => boolean) =>
    [...gguf.tensors.values()].reduce(
      (bytes, { name, byteLength }) => bytes + (matches(name) ? byteLength : 0),
      0,
    );
  const embeddingBytes = sum((name) => name.startsWith("token_embd."));
  const headBytes = sum((name) => name.startsWith("output."));
  return {
    layerBytes: Math.ceil(sum((name) => name.startsWith("blk.")) / layers),
    embeddingBytes,
    headBytes: headBytes === 0 ? embeddingBytes : headBytes,
  };
}

function headLayersOf({ hidden, heads, kvHeads, headDim, ffn, vocab }: LlamaConfig): number {
  const layerWeights = hidden * (2 * heads * headDim + 2 * kvHeads * headDim + 3 * ffn);
  return (vocab * hidden) / layerWeights;
}

function refuseStages(config: LlamaConfig, stageCount: number): void {
  try {
    partitionLayers({ layers: config.layers, stageCount, headLayerEquivalents: headLayersOf(config) });
  } catch (error) {
    if (!(error instanceof PartitionError)) throw error;
    throw new UsageError(`option '--stages <n>' is ${stageCount}, but ${error.message}.`);
  }
}

async function prepareDraft(
  wanted: DrafterName,
  config: LlamaConfig,
  progress: Progress,
): Promise<PreparedDraft | undefined> {
  if (wanted === "none") return undefined;
  if (wanted === "ngram") return { kind: "ngram", taps: [] };
  progress.begin("drafter");
  const manifest = await readHeadManifest(DEFAULT_HEAD_MANIFEST);
  try {
    refuseOtherTarget(DEFAULT_HEAD_MANIFEST, manifest, config);
  } catch (error) {
    if (!(error instanceof ModelFileError)) throw error;
    if (wanted !== "auto") {
      throw new UsageError(
        `option '--drafter <kind>' is ${wanted}, but the draft head that comes along was trained for ` +
          `${manifest.target.name}: ${error.problem}. Choose ngram or none for this model.`,
      );
    }
    progress.done("n-grams (there is no draft head for this model)");
    return { kind: "ngram", taps: [] };
  }
  const kind = wanted === "auto" ? "hybrid" : wanted;
  progress.done(kind === "head" ? "draft head" : "draft head and n-grams");
  return { kind, taps: manifest.taps };
}
