import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GREEDY } from "../../../decoding/sampling-params.ts";
import { DraftContextError } from "../../../models/draft/draft-context-error.ts";
import { HeadDraftEngine } from "../../../models/draft/head-draft-engine.ts";
import { NgramDraftEngine } from "../../../models/draft/ngram-draft-engine.ts";
import { OrtHeadModel } from "../../../models/draft/ort-head-model.ts";
import { startDraftEngine } from "../../../models/draft/worker-draft-engine.ts";
import type { DraftCandidates, DraftEngine } from "../../../models/draft-engine.ts";
import { ModelWorkerError } from "../../../models/worker-calls.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";
import { seededRandom } from "../gguf/random-tensor.ts";
import { SMALL_TREE } from "./draft-size.ts";
import { headFixture } from "./head-fixture.ts";
import { writeTinyHead } from "./tiny-head.ts";

let folder = "";
let dir = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "draft-worker-"));
  const ggufPath = join(folder, "tiny.gguf");
  await writeTinyGguf(ggufPath);
  ({ dir } = await headFixture(ggufPath, await writeTinyHead(folder), folder));
});
afterAll(() => rm(folder, { recursive: true }));

const TEXT = Uint32Array.of(9, 8, 7, 6, 9, 8, 7);

async function draftings(engine: DraftEngine) {
  const random = seededRandom(3);
  const taps = engine.taps.map(() => Float32Array.from({ length: TEXT.length * 64 }, () => random() - 0.5));
  await engine.begin("s", TEXT);
  await engine.extend({
    session: "s",
    position: 0,
    nextTokens: Uint32Array.of(...TEXT.subarray(1), 6),
    taps,
  });
  const request = { session: "s", ...SMALL_TREE, total: 20, sampling: GREEDY };
  const sampled = { ...GREEDY, temperature: 1, seed: 4 };
  const requests = [
    { ...request, path: [6] },
    { ...request, path: [6, 9] },
    { ...request, path: [6], sampling: sampled },
    { ...request, path: [6], sampling: sampled, coupled: false },
    { ...request, path: [5] },
    { ...request, path: [6], growth: "best", batch: 2, depth: 6 },
  ] as const;
  const found: DraftCandidates[] = [];
  for (const each of requests) found.push(await engine.expand(each, (part) => found.push(part)));
  return found;
}

describe.each([["head"], ["hybrid"]] as const)("kind %s", (kind) => {
  test("in a worker drafts the same as in this thread", async () => {
    const worker = await startDraftEngine({ kind, dir, threads: 1 });
    const local = new HeadDraftEngine(await OrtHeadModel.open(dir, 1), { withNgrams: kind === "hybrid" });
    try {
      expect(worker.taps).toEqual(local.taps);
      expect(await draftings(worker)).toEqual(await draftings(local));
    } finally {
      await worker.close();
      await local.close();
    }
  });
});

describe("a worker", () => {
  test("passes errors on as what they are, and goes on", async () => {
    const engine = await startDraftEngine({ kind: "head", dir, threads: 1 });
    try {
      const rows = { session: "none", position: 0, nextTokens: Uint32Array.of(1), taps: [] };
      const error: unknown = await engine.extend(rows).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(DraftContextError);
      expect(String(error)).toContain("session none: it was not begun");
      expect((await draftings(engine))[0]!.tokens.length).toBe(20);
    } finally {
      await engine.close();
    }
  });

  test("lets an expansion end early: newer calls are heard between its passes", async () => {
    const engine = await startDraftEngine({ kind: "head", dir, threads: 1 });
    try {
      await draftings(engine);
      const size = { ...SMALL_TREE, topK: 16, batch: 16, depth: 400, total: 100_000 };
      const endless = engine.expand({ session: "s", path: [6], ...size, sampling: GREEDY });
      await engine.release("s");
      expect((await endless).tokens.length).toBeLessThan(50_000);
    } finally {
      await engine.close();
    }
  });

  test("tells its end, and refuses calls after it", async () => {
    const engine = await startDraftEngine({ kind: "head", dir, threads: 1 });
    await engine.close();
    await engine.close();
    expect(await engine.ended).toBeUndefined();
    await expect(engine.begin("s", TEXT)).rejects.toBeInstanceOf(ModelWorkerError);
  });

  test("that cannot load its head is refused at the start", async () => {
    await expect(startDraftEngine({ kind: "head", dir: folder, threads: 1 })).rejects.toThrow();
    await expect(startDraftEngine({ kind: "hybrid", threads: 1 })).rejects.toThrow(
      "needs a compiled draft head",
    );
  });
});

test("n-grams need neither worker nor head", async () => {
  const engine = await startDraftEngine({ kind: "ngram", threads: 1 });
  expect(engine).toBeInstanceOf(NgramDraftEngine);
  expect((await draftings(engine))[0]!.tokens[0]).toBe(9);
  await engine.close();
});
