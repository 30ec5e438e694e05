import { join } from "node:path";
import { type CompiledStage, compileStages } from "../models/compile.ts";
import { compileDraftHead, DEFAULT_HEAD_MANIFEST } from "../models/draft/compile-head.ts";
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

/** What the drafter is, and where its head lies if it has one. */
export interface PreparedDraft {
  readonly kind: DraftKind;
  readonly headFolder?: string;
  /** 1-based target layers whose output it reads, ascending. */
  readonly taps: readonly number[];
}

/** A model on this machine, cut into stages that can be loaded. */
export interface PreparedModel {
  readonly path: string;
  readonly id: string;
  /** Tokens. */
  readonly contextLength: number;
  readonly stages: readonly CompiledStage[];
  /** stages + 1 entries, from 0 to the layer count. */
  readonly bounds: readonly number[];
  /** Absent: nobody guesses. */
  readonly draft?: PreparedDraft;
}

export interface PrepareContext {
  readonly cache: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

type ModelOptions = Pick<UpOptions, "model" | "stages" | "numerics" | "drafter" | "draftHead">;

/** Fetches the model, then builds its stages and its draft head; all but the first time, only finds them. */
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
    const bounds = layerBounds(config, options.stages);
    const source = { gguf, cacheDir: join(cache, "compiled"), sourceHash: model.sha256 };
    const draft = await prepareDraft(options, source, progress);
    signal.throwIfAborted();
    const specs = bounds.slice(1).map((endLayer, index) => ({
      index,
      stageCount: options.stages,
      firstLayer: bounds[index] ?? 0,
      endLayer,
      layerCount: config.layers,
      taps: (draft?.taps ?? []).filter((tap) => tap > (bounds[index] ?? 0) && tap <= endLayer),
      numerics: options.numerics,
    }));
    progress.begin("stages");
    let reused = 0;
    const stages = await compileStages(gguf, {
      ...source,
      specs,
      onProgress: (step) => {
        signal.throwIfAborted();
        if (step.reused) reused += 1;
        progress.advance(step.done / step.total);
      },
    });
    const layers = bounds.slice(1).map((end, index) => `${bounds[index]}–${end - 1}`);
    progress.done(`layers ${layers.join(", ")} (${reused} of ${stages.length} were compiled before)`);
    const { contextLength } = config;
    return {
      path: model.path,
      id: model.displayName,
      contextLength,
      stages,
      bounds,
      ...(draft && { draft }),
    };
  } finally {
    await gguf.close();
  }
}

/** Splits the layers so that all stages take about as long. */
function layerBounds(config: LlamaConfig, stageCount: number): number[] {
  const { hidden, heads, kvHeads, headDim, ffn, vocab, layers } = config;
  const layerWeights = hidden * (2 * heads * headDim + 2 * kvHeads * headDim + 3 * ffn);
  try {
    return partitionLayers({ layers, stageCount, headLayerEquivalents: (vocab * hidden) / layerWeights });
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

interface DraftSource {
  readonly gguf: GgufFile;
  readonly cacheDir: string;
  readonly sourceHash: string;
}

async function prepareDraft(
  { drafter: wanted, draftHead }: ModelOptions,
  source: DraftSource,
  progress: Progress,
): Promise<PreparedDraft | undefined> {
  if (wanted === "none") return undefined;
  if (wanted === "ngram") return { kind: "ngram", taps: [] };
  progress.begin("drafter");
  const manifestPath = draftHead ?? DEFAULT_HEAD_MANIFEST;
  const manifest = await readHeadManifest(manifestPath);
  try {
    refuseOtherTarget(manifestPath, manifest, source.gguf);
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
  const headFolder = await compileDraftHead(source.gguf, { ...source, manifestPath });
  const kind = wanted === "auto" ? "hybrid" : wanted;
  progress.done(kind === "head" ? "draft head" : "draft head and n-grams");
  return { kind, headFolder, taps: manifest.taps };
}
