import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NO_NODE, type NodeId, nodeId, type TokenId } from "../../../decoding/ids.ts";
import type { SegmentNodes } from "../../../decoding/segment.ts";
import { type CompiledStage, compileStages } from "../../../models/compile.ts";
import { type GgufFile, openGguf } from "../../../models/gguf/gguf-file.ts";
import { LocalStageEngine } from "../../../models/local-stage-engine.ts";
import { OrtStageMath } from "../../../models/ort-stage-math.ts";
import type { StageEngine, StageUsage, TapRows } from "../../../models/stage-engine.ts";
import type { Numerics, StageSpec } from "../../../models/stage-spec.ts";
import { type TinyGgufOptions, writeTinyGguf } from "../../tiny-gguf.ts";

/** A folder that is removed when it goes out of scope. */
export async function scratchFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "flowmesh-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export async function openTiny(folder: string, options: Partial<TinyGgufOptions> = {}): Promise<GgufFile> {
  const path = join(folder, `tiny-${options.seed ?? 1}.gguf`);
  await writeTinyGguf(path, options);
  return openGguf(path);
}

/** Specs of stages that run layers [bounds[k], bounds[k + 1]). */
export function specsOf(
  bounds: readonly number[],
  options: { numerics: Numerics; taps?: readonly number[] },
): StageSpec[] {
  const stageCount = bounds.length - 1;
  return Array.from({ length: stageCount }, (_, index) => {
    const firstLayer = bounds[index]!;
    const endLayer = bounds[index + 1]!;
    const taps = (options.taps ?? []).filter((layer) => layer > firstLayer && layer <= endLayer);
    return {
      index,
      stageCount,
      firstLayer,
      endLayer,
      layerCount: bounds.at(-1)!,
      taps,
      numerics: options.numerics,
    };
  });
}

export interface PipelineOptions {
  readonly bounds: readonly number[];
  readonly numerics: Numerics;
  readonly taps?: readonly number[];
  readonly threads?: number;
  readonly cacheDir: string;
}

export const compile = (gguf: GgufFile, options: PipelineOptions): Promise<CompiledStage[]> =>
  compileStages(gguf, {
    specs: specsOf(options.bounds, options),
    cacheDir: options.cacheDir,
    sourceHash: gguf.path,
  });

/** What `usage` says of an engine without any session. */
export const NOTHING_HELD: StageUsage = {
  sessions: 0,
  liveRows: 0,
  allocatedBytes: 0,
  keptSessions: 0,
  keptBytes: 0,
};

/** What a pipeline computed for some nodes. */
export interface Computed {
  readonly nodes: SegmentNodes;
  readonly hidden: Float32Array;
  readonly taps: readonly TapRows[];
}

/** All stages of a model in this thread, one after the other. */
export class Pipeline implements AsyncDisposable {
  readonly engines: readonly StageEngine[];

  private constructor(engines: readonly StageEngine[]) {
    this.engines = engines;
  }

  static async open(gguf: GgufFile, options: PipelineOptions): Promise<Pipeline> {
    const stages = await compile(gguf, options);
    const engines: StageEngine[] = [];
    for (const { dir } of stages) {
      const math = await OrtStageMath.open({ dir, threads: options.threads ?? 1 });
      engines.push(new LocalStageEngine(math, 1e9));
    }
    return new Pipeline(engines);
  }

  get last(): StageEngine {
    return this.engines.at(-1)!;
  }

  async run(session: string, nodes: SegmentNodes, committed: boolean): Promise<Computed> {
    let result: Computed = { nodes, hidden: new Float32Array(0), taps: [] };
    const taps: TapRows[] = [];
    for (const [index, engine] of this.engines.entries()) {
      const hidden = index > 0 ? { hidden: result.hidden } : {};
      result = await engine.run({ session, nodes: result.nodes, ...hidden, committed });
      taps.push(...result.taps);
    }
    return { ...result, taps };
  }

  async commit(session: string, accepted: readonly NodeId[], next: TokenId): Promise<void> {
    for (const engine of this.engines) await engine.commit(session, accepted, next);
  }

  async release(session: string): Promise<void> {
    for (const engine of this.engines) await engine.release(session);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const engine of this.engines) await engine.close();
  }
}

export interface TreeNode {
  readonly id: number;
  /** Id of the parent; -1 for the first token of the prompt. */
  readonly parent: number;
  readonly token: number;
  readonly position: number;
}

export const segmentOf = (nodes: readonly TreeNode[]): SegmentNodes => ({
  ids: Uint32Array.from(nodes, ({ id }) => id),
  parents: Uint32Array.from(nodes, ({ parent }) => (parent < 0 ? NO_NODE : parent)),
  tokens: Uint32Array.from(nodes, ({ token }) => token),
  positions: Uint32Array.from(nodes, ({ position }) => position),
});

/** A path of nodes with consecutive ids, below `parent` (by default the start of a prompt). */
export function chainOf(
  tokens: readonly number[],
  below: { firstId: number; parent: number; position: number } = { firstId: 0, parent: -1, position: 0 },
): TreeNode[] {
  return tokens.map((token, i) => ({
    id: below.firstId + i,
    parent: i === 0 ? below.parent : below.firstId + i - 1,
    token,
    position: below.position + i,
  }));
}

export const nodeIds = (nodes: readonly TreeNode[]): NodeId[] => nodes.map(({ id }) => nodeId(id));

/** The bits of floats, so that -0, 0 and NaN are told apart. */
export const bitsOf = (floats: Float32Array): Uint32Array =>
  new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
