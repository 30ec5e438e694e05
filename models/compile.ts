import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { GgufFile } from "./gguf/gguf-file.ts";
import { type LlamaConfig, readLlamaConfig } from "./gguf/llama-config.ts";
import { buildHead } from "./graph/head.ts";
import { buildStage } from "./graph/llama.ts";
import { singleRowsAreStable } from "./graph/row-stability.ts";
import type { GraphParts } from "./graph/stage-graph.ts";
import { readVector } from "./graph/weight-tensor.ts";
import { GraphBuilder } from "./onnx/graph-builder.ts";
import { WeightsFile } from "./onnx/weights-file.ts";
import { MANIFEST_FILE, readManifest, type StageManifest } from "./stage-manifest.ts";
import { isFirstStage, isLastStage, type StageSpec } from "./stage-spec.ts";

/** Part of every cache key: raise it when the same model would give other files. */
const COMPILER_VERSION = "1";

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
 * The ONNX graphs and weights of each stage, from the cache where it has them. A stage is built aside and
 * moved into place when complete; one whose files don't match its manifest is built again.
 */
export async function compileStages(gguf: GgufFile, options: CompileOptions): Promise<CompiledStage[]> {
  const config = readLlamaConfig(gguf);
  const stages: CompiledStage[] = [];
  for (const spec of options.specs) {
    const dir = join(options.cacheDir, stageKey(options.sourceHash, spec));
    const known = await verifiedManifest(dir);
    const manifest = known ?? (await buildAside(gguf, config, { spec, dir, source: options.sourceHash }));
    stages.push({ spec, dir, manifest });
    options.onProgress?.({
      done: stages.length,
      total: options.specs.length,
      reused: known !== undefined,
    });
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
    tapsOf(spec),
    numerics,
    ends,
  ]);
  const hash = createHash("sha256").update(identity).digest("hex").slice(0, 16);
  return `layers-${firstLayer}-${endLayer}-${numerics}${taps.length > 0 ? "-taps" : ""}-${hash}`;
}

const tapsOf = ({ taps, firstLayer, endLayer }: StageSpec): number[] =>
  taps.filter((layer) => layer > firstLayer && layer <= endLayer).toSorted((a, b) => a - b);

async function verifiedManifest(dir: string): Promise<StageManifest | undefined> {
  try {
    const manifest = await readManifest(dir);
    for (const file of manifest.files) {
      const path = join(dir, file.name);
      if ((await stat(path)).size !== file.bytes || (await sha256(path)) !== file.sha256) return undefined;
    }
    return manifest;
  } catch {
    // Missing, unreadable or not a manifest: in every case the remedy is to build the stage.
    return undefined;
  }
}

interface StageTarget {
  readonly spec: StageSpec;
  readonly dir: string;
  readonly source: string;
}

async function buildAside(gguf: GgufFile, config: LlamaConfig, target: StageTarget): Promise<StageManifest> {
  const aside = `${target.dir}.${randomUUID()}.partial`;
  await mkdir(aside, { recursive: true });
  try {
    await buildFiles(gguf, config, target.spec, aside);
    const manifest = await describe(gguf, config, target, aside);
    await writeFile(join(aside, MANIFEST_FILE), `${JSON.stringify(manifest, undefined, 2)}\n`);
    await rm(target.dir, { recursive: true, force: true });
    await rename(aside, target.dir);
    return manifest;
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    // Another process may have put the same stage there in the meantime.
    const other = await verifiedManifest(target.dir);
    if (other) return other;
    throw error;
  }
}

async function buildFiles(gguf: GgufFile, config: LlamaConfig, spec: StageSpec, dir: string): Promise<void> {
  const { numerics } = spec;
  await buildGraph(dir, "graph", (builder) => buildStage({ builder, gguf, config, numerics }, spec));
  if (isLastStage(spec)) {
    await buildGraph(dir, "head", (builder) => buildHead({ builder, gguf, config, numerics }));
  }
}

async function buildGraph(
  dir: string,
  name: string,
  build: (builder: GraphParts["builder"]) => Promise<void>,
): Promise<void> {
  const weightsName = name === "graph" ? "weights.bin" : `${name}-weights.bin`;
  const weights = new WeightsFile(join(dir, weightsName), weightsName);
  try {
    const builder = new GraphBuilder(name, weights);
    await build(builder);
    await writeFile(join(dir, `${name}.onnx`), builder.build());
  } finally {
    weights.close();
  }
}

async function describe(
  gguf: GgufFile,
  config: LlamaConfig,
  { spec, source }: StageTarget,
  dir: string,
): Promise<StageManifest> {
  const names = (await readdir(dir)).toSorted();
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(dir, name);
      return { name, bytes: (await stat(path)).size, sha256: await sha256(path) };
    }),
  );
  const ropeFactors = config.ropeFactors && [...(await readVector(gguf, config.ropeFactors))];
  return {
    compiler: COMPILER_VERSION,
    source,
    firstLayer: spec.firstLayer,
    endLayer: spec.endLayer,
    taps: tapsOf(spec),
    numerics: spec.numerics,
    first: isFirstStage(spec),
    last: isLastStage(spec),
    hidden: config.hidden,
    kvHeads: config.kvHeads,
    headDim: config.headDim,
    vocab: config.vocab,
    contextLength: config.contextLength,
    ropeBase: config.ropeBase,
    ...(ropeFactors ? { ropeFactors } : {}),
    minimumRows: singleRowsAreStable(gguf, spec) ? 1 : 2,
    files,
  };
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}
