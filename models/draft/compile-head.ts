import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ModelFileError } from "../errors.ts";
import type { GgufFile } from "../gguf/gguf-file.ts";
import { readLlamaConfig } from "../gguf/llama-config.ts";
import { type GraphFiles, writeGraph } from "../onnx/write-graph.ts";
import { provideFolder } from "../provision/built-folder.ts";
import { hashFile } from "../provision/file-hash.ts";
import {
  COMPILED_HEAD_FILE,
  type CompiledHead,
  FUSION_GRAPH,
  findCompiledHead,
  LAYERS_GRAPH,
} from "./compiled-head.ts";
import { buildFusion, buildLayers } from "./head-graph.ts";
import { type HeadManifest, headWeightsPath, readHeadManifest, refuseOtherTarget } from "./head-manifest.ts";
import { readHeadWeights } from "./head-weights.ts";

/** Part of every cache key: raise it when the same head would give other files. */
const COMPILER_VERSION = "2";

/** Manifest of the draft head that comes with the program, for its default model. */
export const DEFAULT_HEAD_MANIFEST = join(import.meta.dir, "weights", "smollm2-135m-instruct.json");

export interface CompileHeadOptions {
  /** The draft head's manifest; its weights lie beside it. */
  readonly manifestPath: string;
  readonly cacheDir: string;
  /** Hash of the target's file, whose embedding goes into the graph. */
  readonly sourceHash: string;
}

/**
 * Folder with the draft head's graphs, from the cache where it has them.
 * @throws {ModelFileError} when the head does not fit the target or its files are damaged.
 */
export async function compileDraftHead(gguf: GgufFile, options: CompileHeadOptions): Promise<string> {
  const { manifestPath, cacheDir, sourceHash } = options;
  const manifest = await readHeadManifest(manifestPath);
  refuseOtherTarget(manifestPath, manifest, gguf);
  const identity = JSON.stringify([COMPILER_VERSION, sourceHash, manifest]);
  const key = new Bun.CryptoHasher("sha256").update(identity).digest("hex").slice(0, 16);
  const dir = join(cacheDir, `draft-head-${key}`);
  await provideFolder(dir, {
    find: findCompiledHead,
    build: async (aside) => {
      const weightsPath = headWeightsPath(manifestPath, manifest);
      await refuseOtherWeights(weightsPath, manifest);
      return await buildInto(aside, gguf, { manifest, weightsPath, sourceHash });
    },
  });
  return dir;
}

async function refuseOtherWeights(path: string, manifest: HeadManifest): Promise<void> {
  if (!(await Bun.file(path).exists())) {
    throw new ModelFileError(path, "there is no such file", "Put the weights beside their manifest");
  }
  if ((await hashFile(path)) === manifest.weights.sha256) return;
  const problem = "it is not the weights file that its manifest names: their SHA-256 differ";
  throw new ModelFileError(path, problem, "Fetch the weights again, or correct the manifest");
}

interface HeadSource {
  readonly manifest: HeadManifest;
  readonly weightsPath: string;
  readonly sourceHash: string;
}

async function buildInto(dir: string, gguf: GgufFile, source: HeadSource): Promise<CompiledHead> {
  const { manifest, weightsPath, sourceHash } = source;
  const weights = await readHeadWeights(weightsPath, manifest);
  const shared = { gguf, config: readLlamaConfig(gguf), manifest, weights };
  await writeGraph(dir, filesOf(FUSION_GRAPH), (builder) => buildFusion({ ...shared, builder }));
  await writeGraph(dir, filesOf(LAYERS_GRAPH), (builder) => buildLayers({ ...shared, builder }));
  const names = (await readdir(dir)).toSorted();
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(dir, name);
      return { name, bytes: (await stat(path)).size, sha256: await hashFile(path) };
    }),
  );
  const compiled: CompiledHead = {
    compiler: COMPILER_VERSION,
    source: sourceHash,
    head: manifest,
    vocabulary: [...weights.vocabulary],
    files,
  };
  await Bun.write(join(dir, COMPILED_HEAD_FILE), JSON.stringify(compiled));
  return compiled;
}

const filesOf = (file: string): GraphFiles => ({
  name: file,
  file,
  weights: file.replace(".onnx", ".weights"),
});
