import { availableParallelism } from "node:os";
import { join } from "node:path";
import { compileStages } from "../../models/compile.ts";
import { type GgufFile, openGguf } from "../../models/gguf/gguf-file.ts";
import { readLlamaConfig } from "../../models/gguf/llama-config.ts";
import { createModelText, type ModelText } from "../../models/model-text.ts";
import { provideModel } from "../../models/provision/model.ts";
import { DEFAULT_MODEL } from "../../models/provision/model-catalogue.ts";
import { startStageEngine, type WorkerStageEngine } from "../../models/worker-stage-engine.ts";
import type { BenchDraftersOptions } from "./bench-drafters-options.ts";
import { type OpenDrafter, openDrafter } from "./drafter-source.ts";

/** Keys and values of one session at a time. */
const KV_BUDGET_BYTES = 4 * 2 ** 30;

/** The target as one stage, and the drafters, ready to be asked. */
export interface OpenBench {
  readonly modelName: string;
  readonly text: ModelText;
  readonly hidden: number;
  /** Tokens. */
  readonly contextLength: number;
  readonly target: WorkerStageEngine;
  readonly drafters: readonly OpenDrafter[];
  close(): Promise<void>;
}

type OpenOptions = Pick<BenchDraftersOptions, "model" | "drafters" | "threads" | "numerics">;

/** @throws {ModelFileError} for a model or a head that can't be used. */
export async function openBench(options: OpenOptions, cache: string): Promise<OpenBench> {
  const provided = await provideModel(options.model ?? DEFAULT_MODEL, { cacheRoot: cache });
  const gguf = await openGguf(provided.path);
  const drafters: OpenDrafter[] = [];
  const closeDrafters = async () => {
    for (const { engine } of drafters) await engine.close();
  };
  try {
    const source = { gguf, cacheDir: join(cache, "compiled"), sourceHash: provided.sha256 };
    for (const drafter of options.drafters) {
      drafters.push(await openDrafter(drafter, { ...source, threads: options.threads }));
    }
    const { hidden, contextLength } = readLlamaConfig(gguf);
    const taps = [...new Set(drafters.flatMap(({ engine }) => engine.taps))].sort((a, b) => a - b);
    const target = await openTarget(gguf, { ...source, ...options, taps });
    return {
      modelName: provided.displayName,
      text: createModelText(gguf),
      hidden,
      contextLength,
      target,
      drafters,
      async close() {
        await target.close();
        await closeDrafters();
      },
    };
  } catch (error) {
    await closeDrafters();
    throw error;
  } finally {
    await gguf.close();
  }
}

interface TargetOptions extends Pick<BenchDraftersOptions, "numerics"> {
  readonly taps: readonly number[];
  readonly cacheDir: string;
  readonly sourceHash: string;
}

async function openTarget(gguf: GgufFile, options: TargetOptions): Promise<WorkerStageEngine> {
  const { layers: layerCount } = readLlamaConfig(gguf);
  const { taps, numerics } = options;
  const whole = { index: 0, stageCount: 1, firstLayer: 0, endLayer: layerCount, layerCount };
  const [stage] = await compileStages(gguf, { ...options, specs: [{ ...whole, taps, numerics }] });
  if (stage === undefined) throw new Error("nothing was compiled");
  const threads = availableParallelism();
  return startStageEngine({ dir: stage.dir, threads, kvBudgetBytes: KV_BUDGET_BYTES });
}
