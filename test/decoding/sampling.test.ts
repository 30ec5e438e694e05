import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { gumbelOf, uniformBits } from "../../decoding/noise.ts";
import { PathTokens } from "../../decoding/path-tokens.ts";
import { argmax, LogitsError, Sampler, sampleToken } from "../../decoding/sampling.ts";
import { GREEDY, type SamplingParams } from "../../decoding/sampling-params.ts";
import { chiSquaredLimit } from "./chi-squared.ts";
import { exactDistribution, NO_PATH, naiveSample, type Path } from "./naive-sampling.ts";

const plain: SamplingParams = { ...GREEDY, temperature: 1, seed: 42 };

function countsOf(params: SamplingParams, { prompt, answer }: Path) {
  const path = new PathTokens(prompt.length);
  path.write(0, [...prompt, ...answer]);
  return path.counts(params);
}

const sampleWith = (logits: Float32Array, params: SamplingParams, path: Path): number =>
  new Sampler().sample(logits, params, 0, countsOf(params, path));

/** Standard-normal logits from the tested generator's own bits, but of another seed. */
function randomLogits(size: number, spread: number, seed: number): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => spread * gumbelOf(uniformBits(seed, 0, i)));
}

describe("distribution over 120,000 positions", () => {
  const logits = Float32Array.from([2, 1.5, 1.5, 0.3, 0, -1, 3, -2.5, Number.NEGATIVE_INFINITY, 2.2]);
  const path = { prompt: [0, 3, 3, 8], answer: [6, 1, 6, 9, 6, 7, 2] };
  const logitBias = [
    { token: 6, bias: -1.5 },
    { token: 4, bias: 2 },
    { token: 8, bias: 100 },
    { token: 99, bias: 100 },
  ];
  const all = { repetitionPenalty: 1.3, presencePenalty: 0.4, frequencyPenalty: 0.3, logitBias };
  const cases: Partial<SamplingParams>[] = [
    {},
    { temperature: 0.6 },
    { temperature: 1.8 },
    { topK: 4 },
    { topP: 0.8 },
    { topK: 6, topP: 0.9, temperature: 0.8 },
    { topP: 1e-9 },
    { topK: 1 },
    { minP: 0.2 },
    { minP: 0.05, temperature: 0.7 },
    { minP: 0.15, topK: 5 },
    { minP: 0.3, topP: 0.9, temperature: 1.4 },
    { minP: 1 },
    { repetitionPenalty: 1.5 },
    { repetitionPenalty: 0.7 },
    { presencePenalty: 1 },
    { presencePenalty: -2 },
    { frequencyPenalty: 0.8 },
    { frequencyPenalty: -1 },
    { logitBias },
    all,
    { ...all, temperature: 0.7, topK: 7, topP: 0.95, minP: 0.05 },
  ];
  for (const change of cases) {
    test(JSON.stringify(change), () => {
      const params = { ...plain, ...change };
      const expected = exactDistribution(logits, params, path);
      const sampler = new Sampler();
      const tokenCounts = countsOf(params, path);
      const counts = new Map<number, number>();
      const draws = 120_000;
      for (let position = 0; position < draws; position++) {
        const token = sampler.sample(logits, params, position, tokenCounts);
        counts.set(token, (counts.get(token) ?? 0) + 1);
      }
      for (const token of counts.keys()) expect(expected.get(token) ?? 0).toBeGreaterThan(0);
      const likely = [...expected].filter(([, probability]) => probability > 0);
      const statistic = likely.reduce((sum, [token, probability]) => {
        const mean = probability * draws;
        return sum + ((counts.get(token) ?? 0) - mean) ** 2 / mean;
      }, 0);
      expect(statistic).toBeLessThan(likely.length > 1 ? chiSquaredLimit(likely.length - 1) : 1e-9);
    });
  }

  test("two seeds draw independently", () => {
    const joint = new Map<string, number>();
    const draws = 120_000;
    const three = Float32Array.from([0, 0.5, 1]);
    for (let position = 0; position < draws; position++) {
      const pair = [1, 2].map((seed) => sampleToken(three, { ...plain, seed }, position)).join();
      joint.set(pair, (joint.get(pair) ?? 0) + 1);
    }
    const probabilities = exactDistribution(three, plain);
    let statistic = 0;
    for (const [a, p] of probabilities) {
      for (const [b, q] of probabilities) {
        statistic += ((joint.get(`${a},${b}`) ?? 0) - p * q * draws) ** 2 / (p * q * draws);
      }
    }
    expect(statistic).toBeLessThan(chiSquaredLimit(8));
  });
});

describe("equality with the naive sampler", () => {
  const logitArrays = fc
    .array(
      fc.oneof(
        { weight: 8, arbitrary: fc.float({ min: -30, max: 30, noNaN: true }) },
        { weight: 2, arbitrary: fc.constantFrom(1, 2, 3) },
        { weight: 1, arbitrary: fc.constant(Number.NEGATIVE_INFINITY) },
      ),
      { minLength: 1, maxLength: 200 },
    )
    .map((values) => Float32Array.from(values))
    .filter((values) => values.some(Number.isFinite));
  const tokens = fc.array(fc.nat(220), { maxLength: 40 });
  const paths = fc.record({ prompt: tokens, answer: tokens });
  const allParams = fc.record({
    temperature: fc.constantFrom(0, 0.05, 0.3, 1, 2),
    topP: fc.constantFrom(1, 0.999, 0.913, 0.5003, 0.1),
    topK: fc.constantFrom(0, 1, 2, 7, 50, 1000),
    minP: fc.constantFrom(0, 0.0107, 0.213, 0.999),
    repetitionPenalty: fc.constantFrom(1, 1, 0.01, 0.7, 1.3, 100),
    presencePenalty: fc.constantFrom(0, 0, -2, 0.7, 2),
    frequencyPenalty: fc.constantFrom(0, 0, -0.3, 1.1, 2),
    logitBias: fc.uniqueArray(
      fc.record({ token: fc.nat(220), bias: fc.constantFrom(-100, -1.3, 0.4, 3, 100) }),
      { maxLength: 8, selector: ({ token }) => token },
    ),
    seed: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  });

  test("on small vocabularies of any shape, after any path", () => {
    const sampler = new Sampler();
    fc.assert(
      fc.property(logitArrays, allParams, paths, fc.nat(1_000_000), (logits, params, path, position) => {
        const before = Float32Array.from(logits);
        const token = sampler.sample(logits, params, position, countsOf(params, path));
        expect(token).toBe(naiveSample(before, params, position, path) as never);
        expect(logits).toEqual(before);
      }),
      { numRuns: 2000 },
    );
  });

  test("on a full vocabulary, where nearly every token is rejected early", () => {
    const sampler = new Sampler();
    for (let round = 0; round < 32; round++) {
      const logits = randomLogits(49_152, [0.01, 1, 3][round % 3]!, round);
      const changes = [{}, { topK: 40 }, { topP: 0.95 }, { temperature: 0.4 }, { minP: 0.1 }];
      const penalties = {
        repetitionPenalty: 1.2,
        frequencyPenalty: 0.5,
        logitBias: [{ token: 77, bias: 9 }],
      };
      const path = round % 2 === 0 ? NO_PATH : { prompt: [5, 5, 9], answer: [argmax(logits), 77, 77] };
      const params = {
        ...plain,
        seed: round,
        ...changes[round % 5],
        ...(round % 2 === 0 ? {} : penalties),
      };
      const drawn = sampler.sample(logits, params, round, countsOf(params, path));
      expect(drawn).toBe(naiveSample(logits, params, round, path) as never);
    }
  });
});

describe("greedy", () => {
  test("takes the largest logit, the lowest id on ties", () => {
    const greedy = { ...plain, temperature: 0 };
    expect(sampleToken(Float32Array.from([1, 5, 5, 2]), greedy, 3)).toBe(1 as never);
    expect(argmax(Float32Array.from([Number.NEGATIVE_INFINITY, -7]))).toBe(1);
  });

  test("comes after bias and penalties, and leaves the logits as they were", () => {
    const logits = Float32Array.from([4, 5, 3, -1]);
    const chosen = (change: Partial<SamplingParams>, path: Path = NO_PATH) =>
      sampleWith(logits, { ...GREEDY, ...change }, path);
    expect(chosen({ logitBias: [{ token: 3, bias: 6.5 }] })).toBe(3);
    expect(chosen({ logitBias: [{ token: 1, bias: -100 }] })).toBe(0);
    const path = { prompt: [1], answer: [0, 0] };
    expect(chosen({ repetitionPenalty: 1.6 }, { prompt: [1], answer: [] })).toBe(0);
    expect(chosen({ repetitionPenalty: 1.6 }, path)).toBe(1);
    expect(chosen({ presencePenalty: 2, frequencyPenalty: 2 }, path)).toBe(1);
    expect(chosen({ frequencyPenalty: 1 }, { prompt: [], answer: [1, 1] })).toBe(0);
    expect(chosen({ presencePenalty: 1.1 }, { prompt: [0, 0], answer: [1, 1] })).toBe(0);
    expect(chosen({ presencePenalty: 0.9 }, { prompt: [], answer: [1, 1] })).toBe(1);
    // Negative logits are multiplied: a penalty never makes a token likelier.
    const negative = Float32Array.from([-2, -2.5]);
    const params = { ...GREEDY, repetitionPenalty: 1.5 };
    expect(sampleWith(negative, params, { prompt: [0], answer: [] })).toBe(1);
    expect([...logits]).toEqual([4, 5, 3, -1]);
  });
});

describe("refused logits", () => {
  for (const params of [plain, { ...plain, temperature: 0 }]) {
    test(`at temperature ${params.temperature}`, () => {
      const banned = new Float32Array(4).fill(Number.NEGATIVE_INFINITY);
      expect(() => sampleToken(banned, params, 0)).toThrow(LogitsError);
      expect(() => sampleToken(new Float32Array(0), params, 0)).toThrow("none of 0 logits");
      expect(() => sampleToken(Float32Array.from([1, Number.NaN, 2]), params, 0)).toThrow(
        "logit 1 of 3 is NaN",
      );
      expect(() => sampleToken(Float32Array.from([1, Number.POSITIVE_INFINITY]), params, 0)).toThrow(
        "+Infinity",
      );
    });
  }
});

test("top-k keeps exactly k tokens, the lowest ids of equal logits", () => {
  const equal = new Float32Array(50).fill(1);
  const seen = new Set<number>();
  for (let position = 0; position < 500; position++) {
    seen.add(sampleToken(equal, { ...plain, topK: 5 }, position));
  }
  expect([...seen].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
});

test("tokens that no filter keeps do not change the draw", () => {
  const few = randomLogits(40, 2, 5);
  const many = new Float32Array(4000).fill(-20);
  many.set(few);
  for (let position = 0; position < 300; position++) {
    const params = { ...plain, topK: 40 };
    expect(sampleToken(many, params, position)).toBe(sampleToken(few, params, position));
  }
});
