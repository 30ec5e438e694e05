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
import type { DraftKind } from "./role.ts";
import type { UpOptions } from "./up-options.ts";
import { UsageError } from "./usage-error.ts";

interface PreparedDraft {
  readonly kind: DraftKind;
  readonly head?: { readonly manifest: string; readonly sha256: string };
  /** 1-based target layers whose output it reads, ascending. */
  readonly taps: readonly number[];
}

/** A model on this machine, and what the mesh is told of it. */
export interface PreparedModel {
  readonly path: string;
  /** Manifest of the draft head, where one is used. */
  readonly headManifest?: string;
  /** All but the name of the list of parts. */
  readonly record: Omit<ModelRecord, "parts">;
}

export interface PrepareContext {
  readonly cache: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

type ModelOptions = Pick<UpOptions, "model" | "stages" | "numerics" | "drafter" | "draftHead">;

/** Fetches the model, and sees that it can be served as asked for. */
export async function prepareModel(options: ModelOptions, context: PrepareContext): Promise<PreparedModel> {
  const { cache, progress, signal } = context;
  refuseUselessHead(options);
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
    if (options.stages !== "auto" && options.stages > 0) refuseStages(config, options.stages);
    const draft = await prepareDraft(options, gguf, progress);
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
      ...(draft?.head && { draftHead: draft.head.sha256 }),
    };
    return { path: model.path, record, ...(draft?.head && { headManifest: draft.head.manifest }) };
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

/** Who names a head wants it used. */
function refuseUselessHead({ drafter, draftHead }: ModelOptions): void {
  if (draftHead === undefined || (drafter !== "none" && drafter !== "ngram")) return;
  throw new UsageError(
    `option '--draft-head <file>' needs a drafter with a head, and option '--drafter <kind>' is ${drafter}; ` +
      "choose head or hybrid, or leave one of the two out.",
  );
}

async function prepareDraft(
  { drafter: wanted, draftHead }: ModelOptions,
  gguf: GgufFile,
  progress: Progress,
): Promise<PreparedDraft | undefined> {
  if (wanted === "none") return undefined;
  if (wanted === "ngram") return { kind: "ngram", taps: [] };
  progress.begin("drafter");
  const manifestPath = draftHead ?? DEFAULT_HEAD_MANIFEST;
  const manifest = await readHeadManifest(manifestPath);
  try {
    refuseOtherTarget(manifestPath, manifest, gguf);
  } catch (error) {
    if (!(error instanceof ModelFileError) || draftHead !== undefined) throw error;
    if (wanted !== "auto") {
      throw new UsageError(
        `option '--drafter <kind>' is ${wanted}, but the draft head that comes along was trained for ` +
          `${manifest.target.name}: ${error.problem}. Choose ngram or none for this model, ` +
          "or name a head that was trained for it with --draft-head.",
      );
    }
    progress.done("n-grams (there is no draft head for this model)");
    return { kind: "ngram", taps: [] };
  }
  const kind = wanted === "auto" ? "hybrid" : wanted;
  progress.done(kind === "head" ? "draft head" : "draft head and n-grams");
  return { kind, head: { manifest: manifestPath, sha256: manifest.weights.sha256 }, taps: manifest.taps };
}
