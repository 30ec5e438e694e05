import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { NO_COUNTS } from "../../../decoding/path-tokens.ts";
import { GREEDY, type SamplingParams } from "../../../decoding/sampling-params.ts";
import { adjustedChildren } from "../../../models/draft/adjusted-children.ts";
import { GUESS_SPACE } from "../../../models/draft/head-distribution.ts";
import { HeadDraftEngine } from "../../../models/draft/head-draft-engine.ts";
import { mixDistributions } from "../../../models/draft/mixture.ts";
import { NgramDraftEngine } from "../../../models/draft/ngram-draft-engine.ts";
import { OrtHeadModel } from "../../../models/draft/ort-head-model.ts";
import type { Child } from "../../../models/draft/tree-growth.ts";
import type { DraftCandidates, DraftEngine } from "../../../models/draft-engine.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";
import { SMALL_TREE } from "./draft-size.ts";
import { headFixture } from "./head-fixture.ts";
import { writeTinyHead } from "./tiny-head.ts";

const ONE_LEVEL = { ...SMALL_TREE, session: "s", depth: 0, topK: 64, total: 64 };

const scoreOf = ({ tokens, scores }: DraftCandidates, token: number): number =>
  scores[tokens.indexOf(token)]!;

describe("a draft head's guesses", () => {
  /** All are in the tiny head's vocabulary: multiples of 3. */
  const PROMPT = [3, 6, 9, 12];
  const ANSWER = [30, 33, 30, 36];
  const HIDDEN = 64;
  let folder = "";
  let model: OrtHeadModel;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tiny-head-"));
    const ggufPath = join(folder, "tiny.gguf");
    await writeTinyGguf(ggufPath);
    const head = await headFixture(ggufPath, await writeTinyHead(folder), folder);
    model = await OrtHeadModel.open(head.dir, 1);
  });
  afterAll(async () => {
    await model.close();
    await rm(folder, { recursive: true });
  });

  async function guesses(engine: DraftEngine, tail: readonly number[], change: Partial<SamplingParams>) {
    const sampling = { ...GREEDY, ...change };
    return engine.expand({ ...ONE_LEVEL, path: [ANSWER.at(-1)!, ...tail], sampling });
  }

  test("are penalised for the prompt, the answer and the nodes above, and biased", async () => {
    const engine = new HeadDraftEngine(model, { withNgrams: false });
    const text = [...PROMPT, ...ANSWER];
    await engine.begin("s", Uint32Array.from(text.slice(0, -1)), PROMPT.length);
    const rows = text.length - 1;
    const taps = [1, 2].map((seed) =>
      Float32Array.from({ length: rows * HIDDEN }, (_, i) => Math.sin(i * seed)),
    );
    await engine.extend({ session: "s", position: 0, nextTokens: Uint32Array.from(text.slice(1)), taps });

    const tail = [30, 39, 39];
    // So much ahead that none of them drops out of the best.
    const ahead = (token: number, more = 0) => ({ token, bias: 30 + more });
    const bias = (more = 0) => [3, 30, 33, 39, 48, 51].map((token) => ahead(token)).concat(ahead(45, more));
    const plain = await guesses(engine, tail, { logitBias: bias() });
    const change = { presencePenalty: 0.5, frequencyPenalty: 0.25, logitBias: bias(0.75) };
    const shaped = await guesses(engine, tail, change);
    // Against a token that nothing touches, so that the normalisation drops out.
    const moved = (token: number) =>
      (scoreOf(shaped, token) - scoreOf(shaped, 48) - (scoreOf(plain, token) - scoreOf(plain, 48))) /
      GUESS_SPACE.share;
    expect(moved(3)).toBeCloseTo(0, 3);
    expect(moved(33)).toBeCloseTo(-0.75, 3);
    expect(moved(30)).toBeCloseTo(-1.25, 3);
    expect(moved(39)).toBeCloseTo(-1, 3);
    expect(moved(45)).toBeCloseTo(0.75, 3);
    expect(moved(51)).toBeCloseTo(0, 3);

    const repeated = await guesses(engine, tail, { repetitionPenalty: 1.02, logitBias: bias() });
    const lost = (token: number) =>
      scoreOf(repeated, token) - scoreOf(repeated, 48) - (scoreOf(plain, token) - scoreOf(plain, 48));
    for (const token of [3, 33, 30, 39]) expect(lost(token)).toBeLessThan(-0.1);
    expect(lost(51)).toBeCloseTo(0, 3);
    // What was remembered under other parameters is not used again.
    expect(await guesses(engine, tail, { logitBias: bias() })).toEqual(plain);
    await engine.release("s");
  });
});

describe("n-gram guesses", () => {
  test("lead with what the penalties leave", async () => {
    const engine = new NgramDraftEngine();
    // "1 2" was followed by 7 twice and by 8 once; 7 is there three times.
    const text = Uint32Array.of(1, 2, 7, 30, 1, 2, 8, 31, 1, 2, 7, 32, 7, 1, 2);
    const first = async (promptTokens: number, change: Partial<SamplingParams>) => {
      await engine.begin("s", text, promptTokens);
      const sampling = { ...GREEDY, ...change };
      return (await engine.expand({ ...ONE_LEVEL, path: [2], sampling })).tokens[0];
    };
    expect(await first(2, {})).toBe(7);
    expect(await first(2, { frequencyPenalty: 2 })).toBe(8);
    expect(await first(2, { presencePenalty: 2 })).toBe(7);
    expect(await first(13, { frequencyPenalty: 2 })).toBe(7);
    expect(await first(15, { repetitionPenalty: 1.5 })).toBe(7);
    expect(await first(2, { logitBias: [{ token: 8, bias: 4 }] })).toBe(8);
  });

  const probabilities = fc
    .uniqueArray(fc.record({ token: fc.nat(20), weight: fc.double({ min: 0.01, max: 1, noNaN: true }) }), {
      minLength: 1,
      maxLength: 8,
      selector: ({ token }) => token,
    })
    .map((parts): Child[] => {
      const total = parts.reduce((sum, { weight }) => sum + weight, 0) / 0.8;
      return parts.map(({ token, weight }) => ({ token, logProb: Math.log(weight / total) }));
    });

  test("stay a distribution that leaves room for tokens that nobody named", () => {
    fc.assert(
      fc.property(
        probabilities,
        fc.array(fc.record({ token: fc.nat(20), bias: fc.constantFrom(-100, -2, 3, 100) }), { maxLength: 3 }),
        fc.constantFrom(0, 0.05, 1, 2),
        (children, logitBias, temperature) => {
          const sampling = { ...GREEDY, temperature, logitBias };
          const adjusted = adjustedChildren(children, sampling, NO_COUNTS);
          const mass = adjusted.children.reduce((sum, { logProb }) => sum + Math.exp(logProb), 0);
          expect(mass).toBeLessThanOrEqual(1 + 1e-6);
          expect(adjusted.children.map(({ token }) => token)).toEqual(children.map(({ token }) => token));
          const mixed = mixDistributions(
            [{ token: 30, logProb: -0.1 }],
            { matched: 3, children: adjusted.children },
            adjusted.favour,
          );
          for (const { logProb } of mixed) expect(logProb).toBeWithin(Number.NEGATIVE_INFINITY, 1e-9);
          if (logitBias.length === 0) expect(adjusted).toEqual({ children, favour: 1 });
        },
      ),
    );
  });
});
