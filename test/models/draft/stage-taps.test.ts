import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NO_NODE } from "../../../decoding/ids.ts";
import { GREEDY } from "../../../decoding/sampling-params.ts";
import { compileStages } from "../../../models/compile.ts";
import { compileDraftHead, DEFAULT_HEAD_MANIFEST } from "../../../models/draft/compile-head.ts";
import { HeadDraftEngine } from "../../../models/draft/head-draft-engine.ts";
import { OrtHeadModel } from "../../../models/draft/ort-head-model.ts";
import { openGguf } from "../../../models/gguf/gguf-file.ts";
import { LocalStageEngine } from "../../../models/local-stage-engine.ts";
import { OrtStageMath } from "../../../models/ort-stage-math.ts";
import { defaultModelPath } from "../../model.ts";
import { SMALL_TREE } from "./draft-size.ts";

interface ReferenceCase {
  readonly inputIds: readonly number[];
  readonly rootToken: number;
  readonly greedyChain: readonly {
    readonly tokens: readonly number[];
    readonly logprobs: readonly number[];
  }[];
}

const PROMPTS = join(import.meta.dir, "../../fixtures/draft/reference.json");

let folder = "";
let stage: LocalStageEngine<ReturnType<OrtStageMath["createCache"]>>;
let drafter: HeadDraftEngine;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stage-taps-"));
  const gguf = await openGguf(await defaultModelPath());
  try {
    const options = { cacheDir: folder, sourceHash: "test" };
    const dir = await compileDraftHead(gguf, { ...options, manifestPath: DEFAULT_HEAD_MANIFEST });
    const model = await OrtHeadModel.open(dir, 1);
    drafter = new HeadDraftEngine(model, { withNgrams: false });
    const whole = { index: 0, stageCount: 1, firstLayer: 0, endLayer: 30, layerCount: 30 };
    const spec = { ...whole, taps: model.taps, numerics: "fast" } as const;
    const [compiled] = await compileStages(gguf, { ...options, specs: [spec] });
    stage = new LocalStageEngine(await OrtStageMath.open({ dir: compiled!.dir, threads: 1 }), 2 ** 30);
  } finally {
    await gguf.close();
  }
}, 180_000);
afterAll(async () => {
  await stage.close();
  await drafter.close();
  await rm(folder, { recursive: true });
});

test("fed with the stages' own rows, the head drafts what it was trained to", async () => {
  const cases: ReferenceCase[] = await Bun.file(PROMPTS).json();
  for (const [i, { inputIds, rootToken, greedyChain }] of cases.entries()) {
    const session = `s${i}`;
    const ids = Uint32Array.from(inputIds, (_, position) => position);
    const parents = Uint32Array.from(ids, (id) => (id === 0 ? NO_NODE : id - 1));
    const nodes = { ids, parents, tokens: Uint32Array.from(inputIds), positions: ids };
    const { taps } = await stage.run({ session, nodes, committed: true });
    await drafter.begin(session, nodes.tokens);
    await drafter.extend({
      session,
      position: 0,
      nextTokens: Uint32Array.of(...inputIds.slice(1), rootToken),
      taps: drafter.taps.map((layer) => taps.find((tap) => tap.layer === layer)!.rows),
    });
    const path = [rootToken];
    for (const { tokens, logprobs } of greedyChain) {
      const size = { ...SMALL_TREE, topK: 64, depth: 0, total: 64 };
      const request = { session, path, ...size, sampling: GREEDY };
      const found = await drafter.expand(request);
      const place = found.tokens.indexOf(tokens[0]!);
      // 8 bits on both sides: two candidates that are close may change places.
      expect(place).toBeOneOf([0, 1]);
      expect(Math.abs(found.scores[place]! - logprobs[0]!)).toBeLessThan(0.4);
      path.push(tokens[0]!);
    }
  }
}, 120_000);
