import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildHead, minimumHeadRows } from "./graph/head.ts";
import { buildStage, minimumStageRows } from "./graph/llama.ts";
import type { ModelParts } from "./graph/stage-graph.ts";
import { readVector } from "./graph/weight-tensor.ts";
import { writeGraph } from "./onnx/write-graph.ts";
import { hashFile } from "./provision/file-hash.ts";
import { MANIFEST_FILE, type StageManifest } from "./stage-manifest.ts";
import { isFirstStage, isLastStage, type StageSpec } from "./stage-spec.ts";

/** Where a manifest says that its stage came from. */
export interface StageOrigin {
  readonly compiler: string;
  /** Hash of the model file. */
  readonly source: string;
}

/** Writes all files of a stage into the empty folder `dir`, the manifest last. */
export async function buildStageFiles(
  model: ModelParts,
  spec: StageSpec,
  dir: string,
  origin: StageOrigin,
): Promise<StageManifest> {
  await writeGraph(dir, { name: "graph", file: "graph.onnx", weights: "weights.bin" }, (builder) =>
    buildStage({ ...model, builder }, spec),
  );
  if (isLastStage(spec)) {
    await writeGraph(dir, { name: "head", file: "head.onnx", weights: "head-weights.bin" }, (builder) =>
      buildHead({ ...model, builder }),
    );
  }
  const names = (await readdir(dir)).toSorted();
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(dir, name);
      return { name, bytes: (await stat(path)).size, sha256: await hashFile(path) };
    }),
  );
  const manifest = { ...origin, ...(await describe(model, spec)), files };
  await writeFile(join(dir, MANIFEST_FILE), `${JSON.stringify(manifest, undefined, 2)}\n`);
  return manifest;
}

async function describe(model: ModelParts, spec: StageSpec) {
  const { gguf, config } = model;
  const { hidden, kvHeads, headDim, vocab, contextLength, ropeBase } = config;
  const ropeFactors = config.ropeFactors && [...(await readVector(gguf, config.ropeFactors))];
  return {
    firstLayer: spec.firstLayer,
    endLayer: spec.endLayer,
    taps: tapsInside(spec),
    numerics: spec.numerics,
    first: isFirstStage(spec),
    last: isLastStage(spec),
    hidden,
    kvHeads,
    headDim,
    vocab,
    contextLength,
    ropeBase,
    ...(ropeFactors ? { ropeFactors } : {}),
    minimumRows: minimumStageRows(model, spec),
    minimumHeadRows: minimumHeadRows(model),
  };
}

/** The spec's taps that lie in the stage, in ascending order. */
export const tapsInside = ({ taps, firstLayer, endLayer }: StageSpec): number[] =>
  taps.filter((layer) => layer > firstLayer && layer <= endLayer).toSorted((a, b) => a - b);
