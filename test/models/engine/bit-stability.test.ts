import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { tokenId } from "../../../decoding/ids.ts";
import type { DequantizableType } from "../../../models/gguf/dequantize.ts";
import { type GgufFile, openGguf } from "../../../models/gguf/gguf-file.ts";
import { partitionLayers } from "../../../models/partition.ts";
import type { Numerics } from "../../../models/stage-spec.ts";
import { defaultModelPath } from "../../model.ts";
import { seededRandom } from "../gguf/random-tensor.ts";
import {
  bitsOf,
  chainOf,
  nodeIds,
  openTiny,
  Pipeline,
  scratchFolder,
  segmentOf,
  type TreeNode,
} from "./pipeline.ts";

/** Rows of the path 0..n-1, computed in some way: [path, hidden]. */
type Rows = Float32Array;

const PROMPT = 6;

function tokensOf(count: number, vocab: number): number[] {
  const random = seededRandom(7);
  return Array.from({ length: count }, () => Math.floor(random() * vocab));
}

/** The whole path as prompt chunks of one size. */
async function inChunks(pipeline: Pipeline, path: readonly TreeNode[], size: number): Promise<Rows> {
  const parts: Float32Array[] = [];
  for (let at = 0; at < path.length; at += size) {
    parts.push((await pipeline.run("chunks", segmentOf(path.slice(at, at + size)), true)).hidden);
  }
  await pipeline.release("chunks");
  return joined(parts);
}

/**
 * The path as tree nodes among siblings that turn out dead: each segment holds some nodes of the path, and
 * before, between and behind them nodes of wrong branches. After each segment its part of the path is
 * committed, so the rows of the wrong ones are freed and used again, in another order.
 */
async function amongDeadNodes(pipeline: Pipeline, path: readonly TreeNode[], seed: number): Promise<Rows> {
  const random = seededRandom(seed);
  const vocab = 300;
  const rows: Float32Array[] = [];
  const first = await pipeline.run("tree", segmentOf(path.slice(0, PROMPT)), true);
  rows.push(first.hidden);
  let strayId = 1_000_000;
  for (let at = PROMPT; at < path.length; ) {
    const count = 1 + Math.floor(random() * 4);
    const wanted = path.slice(at, at + count);
    const segment: TreeNode[] = [];
    for (const node of wanted) {
      const strays = Math.floor(random() * 6);
      for (let i = 0; i < strays; i++) {
        const stray = { ...node, id: strayId++, token: (node.token + 1 + i) % vocab };
        segment.push(stray);
        if (random() < 0.5)
          segment.push({ ...stray, id: strayId++, parent: stray.id, position: stray.position + 1 });
      }
      segment.push(node);
    }
    const { nodes, hidden } = await pipeline.run("tree", segmentOf(segment), false);
    const width = hidden.length / nodes.ids.length;
    for (const node of wanted) {
      const row = nodes.ids.indexOf(node.id);
      rows.push(hidden.slice(row * width, (row + 1) * width));
    }
    at += wanted.length;
    const next = path[at]?.token ?? 0;
    await pipeline.commit("tree", nodeIds(wanted), tokenId(next));
  }
  await pipeline.release("tree");
  return joined(rows);
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

async function expectSameBits(pipeline: Pipeline, path: readonly TreeNode[]): Promise<void> {
  const expected = bitsOf(await inChunks(pipeline, path, 64));
  expect(expected.length).toBeGreaterThan(0);
  for (const size of [1, 4, 16]) expect(bitsOf(await inChunks(pipeline, path, size))).toEqual(expected);
  for (const seed of [1, 2]) expect(bitsOf(await amongDeadNodes(pipeline, path, seed))).toEqual(expected);
}

const NUMERICS: readonly Numerics[] = ["fast", "precise"];
const TYPES: readonly DequantizableType[] = ["F32", "F16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"];

describe.each(NUMERICS)(
  "with %s numerics a node has the same bits alone, in segments and among dead rows",
  (numerics) => {
    test.each(TYPES)("with weights of type %s", async (type) => {
      await using folder = await scratchFolder();
      const gguf = await openTiny(folder.path, {
        layers: 3,
        hidden: 256,
        heads: 4,
        kvHeads: 2,
        ffn: 512,
        types: { embedding: type, output: type, attention: type, ffn: type },
      });
      await using pipeline = await Pipeline.open(gguf, { bounds: [0, 3], numerics, cacheDir: folder.path });
      await gguf.close();
      await expectSameBits(pipeline, chainOf(tokensOf(100, 384)));
    });

    test("and one thread gives the same as two", async () => {
      await using folder = await scratchFolder();
      const gguf = await openTiny(folder.path, { layers: 2, hidden: 256, ffn: 1024 });
      const settings = { bounds: [0, 2], numerics, cacheDir: folder.path };
      await using one = await Pipeline.open(gguf, { ...settings, threads: 1 });
      await using two = await Pipeline.open(gguf, { ...settings, threads: 2 });
      await gguf.close();
      const path = chainOf(tokensOf(70, 384));
      expect(bitsOf(await inChunks(two, path, 64))).toEqual(bitsOf(await inChunks(one, path, 64)));
    });

    test("however the layers are split into stages", async () => {
      await using folder = await scratchFolder();
      const gguf = await openTiny(folder.path, { layers: 6 });
      const path = chainOf(tokensOf(40, 384));
      const hidden: Uint32Array[] = [];
      const splits = [
        [0, 6],
        [0, 4, 6],
        [0, 1, 3, 6],
        [0, 1, 2, 3, 4, 5, 6],
      ];
      for (const bounds of splits) {
        await using pipeline = await Pipeline.open(gguf, { bounds, numerics, cacheDir: folder.path });
        hidden.push(bitsOf(await inChunks(pipeline, path, 16)));
      }
      await gguf.close();
      for (const bits of hidden) expect(bits).toEqual(hidden[0]!);
    });
  },
);

describe("the default model", () => {
  const TIMEOUT_MS = 120_000;
  let folder: Awaited<ReturnType<typeof scratchFolder>>;
  let gguf: GgufFile;
  beforeAll(async () => {
    folder = await scratchFolder();
    gguf = await openGguf(await defaultModelPath());
  }, TIMEOUT_MS);
  afterAll(async () => {
    await gguf.close();
    await folder[Symbol.asyncDispose]();
  });

  test.each(NUMERICS)(
    "has the same bits in every way of computing, with %s numerics",
    async (numerics) => {
      const settings = { bounds: [0, 30], numerics, threads: 2, cacheDir: folder.path };
      await using pipeline = await Pipeline.open(gguf, settings);
      await expectSameBits(pipeline, chainOf(tokensOf(70, 49_152)));
    },
    TIMEOUT_MS,
  );

  test(
    "has the same bits whole and split into 2 to 6 stages",
    async () => {
      const settings = { numerics: "fast" as const, threads: 2, cacheDir: folder.path };
      const path = chainOf(tokensOf(40, 49_152));
      const bitsFor = async (stageCount: number): Promise<Uint32Array> => {
        const bounds = partitionLayers({ layers: 30, stageCount, headLayerEquivalents: 8 });
        await using pipeline = await Pipeline.open(gguf, { ...settings, bounds });
        return bitsOf(await inChunks(pipeline, path, 16));
      };
      const whole = await bitsFor(1);
      for (const stageCount of [2, 3, 4, 5, 6]) expect(await bitsFor(stageCount)).toEqual(whole);
    },
    TIMEOUT_MS,
  );
});
