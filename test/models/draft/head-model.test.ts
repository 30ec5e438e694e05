import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GREEDY } from "../../../decoding/sampling-params.ts";
import { DEFAULT_HEAD_MANIFEST } from "../../../models/draft/compile-head.ts";
import { HeadDraftEngine } from "../../../models/draft/head-draft-engine.ts";
import { OrtHeadModel } from "../../../models/draft/ort-head-model.ts";
import { defaultModelPath } from "../../model.ts";
import { SMALL_TREE } from "./draft-size.ts";
import { type HeadFixture, headFixture } from "./head-fixture.ts";
import type { ReferenceKv } from "./reference-head.ts";

interface ReferenceCase {
  readonly inputIds: readonly number[];
  readonly rootToken: number;
  readonly greedyChain: readonly {
    readonly tokens: readonly number[];
    readonly logprobs: readonly number[];
  }[];
}

const FIXTURES = join(import.meta.dir, "../../fixtures/draft");

let folder = "";
let head: HeadFixture;
let sample: ReferenceCase;
/** Per tap [rows, hidden], of an fp32 forward pass of the target in Python. */
let taps: Float32Array[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "draft-head-"));
  head = await headFixture(await defaultModelPath(), DEFAULT_HEAD_MANIFEST, folder);
  const cases: ReferenceCase[] = await Bun.file(join(FIXTURES, "reference.json")).json();
  sample = cases[0]!;
  const { hidden } = head.manifest.target;
  const rows = new Float16Array(await Bun.file(join(FIXTURES, "reference-taps.f16")).arrayBuffer());
  taps = head.manifest.taps.map((_, tap) =>
    Float32Array.from({ length: sample.inputIds.length * hidden }, (_, i) => {
      const row = Math.floor(i / hidden);
      return rows[(row * head.manifest.taps.length + tap) * hidden + (i % hidden)]!;
    }),
  );
}, 120_000);
afterAll(() => rm(folder, { recursive: true }));

const nextTokens = () => [...sample.inputIds.slice(1), sample.rootToken];

describe("the head for the default model", () => {
  test("computed row by row as described gives the trainer's log-probabilities", () => {
    const { reference, manifest } = head;
    const { hidden } = manifest.target;
    const context: ReferenceKv[] = [];
    let row = { drafted: [] as number[], logProbs: [] as number[] };
    nextTokens().forEach((token, position) => {
      const feature = reference.fuse(
        taps.map((tap) => tap.subarray(position * hidden, (position + 1) * hidden)),
      );
      const computed = reference.row(feature, token, position, context);
      context.push(computed.kv);
      row = computed;
    });
    let position = sample.inputIds.length;
    for (const { tokens, logprobs } of sample.greedyChain) {
      const best = [...row.logProbs.keys()].sort((a, b) => row.logProbs[b]! - row.logProbs[a]!).slice(0, 4);
      best.forEach((index, i) => {
        expect(Math.abs(row.logProbs[index]! - logprobs[i]!)).toBeLessThan(0.02);
      });
      const computed = reference.row(row.drafted, tokens[0]!, position++, context);
      context.push(computed.kv);
      row = computed;
    }
  }, 120_000);

  test("compiled, with its weights and activations in 8 bits, stays close to that", async () => {
    const engine = new HeadDraftEngine(await OrtHeadModel.open(head.dir, 1), { withNgrams: false });
    try {
      await engine.begin("s", Uint32Array.from(sample.inputIds));
      await engine.extend({ session: "s", position: 0, nextTokens: Uint32Array.from(nextTokens()), taps });
      const path = [sample.rootToken];
      for (const { tokens, logprobs } of sample.greedyChain) {
        const size = { ...SMALL_TREE, topK: 64, depth: 0, total: 64 };
        const request = { session: "s", path, ...size, sampling: GREEDY };
        const found = await engine.expand(request);
        const errors = tokens.map((token, i) =>
          Math.abs(found.scores[found.tokens.indexOf(token)]! - logprobs[i]!),
        );
        // Of guesses that are as likely to a tenth, rounding to 8 bits may prefer another one.
        const best = tokens.filter((_, i) => logprobs[i]! > logprobs[0]! - 0.1);
        expect(best).toContain(found.tokens[0]!);
        expect(Math.max(...errors)).toBeLessThan(0.35);
        path.push(tokens[0]!);
      }
    } finally {
      await engine.close();
    }
  }, 120_000);
});
