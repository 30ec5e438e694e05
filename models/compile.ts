import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { GgufFile } from "./gguf/gguf-file.ts";
import { readLlamaConfig } from "./gguf/llama-config.ts";
import { provideFolder } from "./provision/built-folder.ts";
import { hashFile } from "./provision/file-hash.ts";
import { buildStageFiles, tapsInside } from "./stage-build.ts";
import { readManifest, type StageManifest } from "./stage-manifest.ts";
import { isFirstStage, isLastStage, type StageSpec } from "./stage-spec.ts";

/** Part of every cache key: raise it when the same model would give other files. */
const COMPILER_VERSION = "2";

export interface CompileOptions {
  readonly specs: readonly StageSpec[];
  readonly cacheDir: string;
  /** Hash of the model file: compiled stages of other files are other stages. */
  readonly sourceHash: string;
  /** Called after each stage that was built or found. */
  readonly onProgress?: (progress: CompileProgress) => void;
}

export interface CompileProgress {
  readonly done: number;
  readonly total: number;
  /** True when the stage was in the cache. */
  readonly reused: boolean;
}

export interface CompiledStage {
  readonly spec: StageSpec;
  readonly dir: string;
  readonly manifest: StageManifest;
}

/**
 * The ONNX graphs and weights of each stage, from the cache where it has them. One whose files don't match its
 * manifest is built again.
 */
export async function compileStages(gguf: GgufFile, options: CompileOptions): Promise<CompiledStage[]> {
  const config = readLlamaConfig(gguf);
  const stages: CompiledStage[] = [];
  for (const spec of options.specs) {
    const dir = join(options.cacheDir, stageKey(options.sourceHash, spec));
    const model = { gguf, config, numerics: spec.numerics };
    const origin = { compiler: COMPILER_VERSION, source: options.sourceHash };
    let reused = true;
    const manifest = await provideFolder(dir, {
      find: verifiedManifest,
      build: (aside) => {
        reused = false;
        return buildStageFiles(model, spec, aside, origin);
      },
    });
    stages.push({ spec, dir, manifest });
    options.onProgress?.({ done: stages.length, total: options.specs.length, reused });
  }
  return stages;
}

/** Folder name: readable, and different for whatever changes the files. */
function stageKey(sourceHash: string, spec: StageSpec): string {
  const { firstLayer, endLayer, taps, numerics } = spec;
  const ends = [isFirstStage(spec), isLastStage(spec)];
  const identity = JSON.stringify([
    COMPILER_VERSION,
    sourceHash,
    firstLayer,
    endLayer,
    tapsInside(spec),
    numerics,
    ends,
  ]);
  const hash = createHash("sha256").update(identity).digest("hex").slice(0, 16);
  return `layers-${firstLayer}-${endLayer}-${numerics}${taps.length > 0 ? "-taps" : ""}-${hash}`;
}

async function verifiedManifest(dir: string): Promise<StageManifest | undefined> {
  try {
    const manifest = await readManifest(dir);
    for (const file of manifest.files) {
      const path = join(dir, file.name);
      if ((await stat(path)).size !== file.bytes || (await hashFile(path)) !== file.sha256) return undefined;
    }
    return manifest;
  } catch {
    // Missing, unreadable or not a manifest: in every case the remedy is to build the stage.
    return undefined;
  }
}
