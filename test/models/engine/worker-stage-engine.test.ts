import { describe, expect, test } from "bun:test";
import { truncate } from "node:fs/promises";
import { join } from "node:path";
import { tokenId } from "../../../decoding/ids.ts";
import { NO_COUNTS } from "../../../decoding/path-tokens.ts";
import { GREEDY } from "../../../decoding/sampling-params.ts";
import { KvBudgetError } from "../../../models/kv-cache.ts";
import { ModelWorkerError } from "../../../models/worker-calls.ts";
import { startStageEngine, WorkerStageEngine } from "../../../models/worker-stage-engine.ts";
import {
  bitsOf,
  chainOf,
  compile,
  NOTHING_HELD,
  nodeIds,
  openTiny,
  Pipeline,
  scratchFolder,
  segmentOf,
} from "./pipeline.ts";

const TAPS = [2, 4];

async function compiled() {
  const folder = await scratchFolder();
  const gguf = await openTiny(folder.path);
  const settings = { bounds: [0, 4], numerics: "fast", taps: TAPS, cacheDir: folder.path } as const;
  const [stage] = await compile(gguf, settings);
  return {
    dir: stage!.dir,
    pipeline: () => Pipeline.open(gguf, settings),
    async [Symbol.asyncDispose]() {
      await gguf.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/**
 * What a promise is rejected with. (`expect(…).rejects` waits without letting the worker's messages in.)
 */
async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const failure = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure instanceof Error) return failure;
  throw new Error("expected a rejection");
}

const PROMPT = chainOf([5, 6, 7, 8]);
const TREE = chainOf([9, 10], { firstId: 4, parent: 3, position: 4 });

test("a worker gives the same bits as the engine in this thread", async () => {
  await using model = await compiled();
  await using local = await model.pipeline();
  const worker = await startStageEngine({ dir: model.dir, threads: 1, kvBudgetBytes: 1e8 });
  for (const [nodes, committed] of [[PROMPT, true] as const, [TREE, false] as const]) {
    const segment = segmentOf(nodes);
    const there = await worker.run({ session: "s", nodes: segment, committed });
    const here = await local.run("s", segment, committed);
    expect(there.nodes).toEqual(here.nodes);
    expect(bitsOf(there.hidden)).toEqual(bitsOf(here.hidden));
    expect(there.taps.map(({ layer }) => layer)).toEqual(TAPS);
    expect(there.taps).toEqual([...here.taps]);
    expect(there.computeMs).toBeGreaterThan(0);
    const row = there.hidden.slice(0, 64);
    const first = await local.last.nextToken(row, GREEDY, 9, NO_COUNTS);
    expect(await worker.nextToken(row, GREEDY, 9, NO_COUNTS)).toEqual(first);
    const counts = { tokens: Uint32Array.of(first.token), inAnswer: Uint32Array.of(2) };
    const penalised = { ...GREEDY, repetitionPenalty: 100, frequencyPenalty: 2 };
    const second = await local.last.nextToken(row, penalised, 9, counts);
    expect(second).not.toEqual(first);
    expect(await worker.nextToken(row, penalised, 9, counts)).toEqual(second);
  }
  await worker.commit("s", nodeIds(TREE), tokenId(1));
  expect((await worker.usage()).liveRows).toBe(6);
  await worker.release("s");
  expect(await worker.usage()).toEqual(NOTHING_HELD);
  await worker.close();
  await worker.close();
  expect(await worker.ended).toBeUndefined();
  expect(await failureOf(worker.usage())).toBeInstanceOf(ModelWorkerError);
});

test("errors keep their kind, and the worker goes on after them", async () => {
  await using model = await compiled();
  const worker = await startStageEngine({ dir: model.dir, threads: 1, kvBudgetBytes: 1000 });
  const refusal = await failureOf(worker.run({ session: "s", nodes: segmentOf(PROMPT), committed: true }));
  expect(refusal).toBeInstanceOf(KvBudgetError);
  expect(refusal).toMatchObject({ budgetBytes: 1000 });
  const wrongWidth = await failureOf(worker.nextToken(new Float32Array(3), GREEDY, 0, NO_COUNTS));
  expect(wrongWidth.message).toMatch(/64 elements, not 3/);
  expect((await worker.usage()).sessions).toBe(0);
  await worker.close();
});

test("a folder without an intact stage can't be started", async () => {
  await using folder = await scratchFolder();
  const options = { dir: folder.path, threads: 1, kvBudgetBytes: 1 };
  expect((await failureOf(startStageEngine(options))).message).toMatch(/manifest\.json/);
  await using model = await compiled();
  await truncate(join(model.dir, "weights.bin"), 10);
  const damaged = await failureOf(startStageEngine({ ...options, dir: model.dir }));
  expect(damaged.message).toMatch(/weights\.bin|external|data/i);
});

describe("when the worker dies", () => {
  const dying = async () => {
    const engine = new WorkerStageEngine(new URL("./dying-worker.ts", import.meta.url));
    await engine.open({ dir: "", threads: 1, kvBudgetBytes: 1 });
    return engine;
  };

  test.each([
    ["exit", /ended with code 3/],
    ["throw", /out of luck/],
  ])("by %s, waiting calls are rejected, later ones too, and the owner hears it", async (manner, reason) => {
    const engine = await dying();
    const waiting = failureOf(engine.usage());
    const fatal = failureOf(engine.release(manner));
    const error = await engine.ended;
    if (!(error instanceof ModelWorkerError)) throw new Error(`ended with ${error}`);
    expect(error.message).toMatch(reason);
    expect(await waiting).toBe(error);
    expect(await fatal).toBe(error);
    expect(await failureOf(engine.usage())).toBe(error);
    await engine.close();
  });

  test("by being terminated, waiting calls are rejected and nothing is reported", async () => {
    const engine = await dying();
    const waiting = failureOf(engine.usage());
    await engine.terminate();
    expect(await waiting).toBeInstanceOf(ModelWorkerError);
    expect(await engine.ended).toBeUndefined();
  });
});
