import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { gumbelOf, uniformBits } from "../../decoding/noise.ts";
import { argmax, LogitsError, Sampler, sampleToken } from "../../decoding/sampling.ts";
import type { SamplingParams } from "../../decoding/sampling-params.ts";
import { chiSquaredLimit } from "./chi-squared.ts";

const plain: SamplingParams = { temperature: 1, topP: 1, topK: 0, seed: 42 };

/** Kept tokens and their probabilities by full sorts: independent of the sampler's shortcuts. */
function exactDistribution(logits: Float32Array, params: SamplingParams): Map<number, number> {
  const ranked = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  let kept = params.topK > 0 ? ranked.slice(0, params.topK) : ranked;
  const max = logits[ranked[0]!]!;
  const weight = (token: number) => Math.exp((logits[token]! - max) / params.temperature);
  const total = kept.reduce((sum, token) => sum + weight(token), 0);
  if (params.topP < 1) {
    let mass = 0;
    const end = kept.findIndex((token) => {
      mass += weight(token);
      return mass >= params.topP * total;
    });
    kept = kept.slice(0, end + 1);
  }
  const keptTotal = kept.reduce((sum, token) => sum + weight(token), 0);
  return new Map(kept.map((token) => [token, weight(token) / keptTotal]));
}

function naiveSample(logits: Float32Array, params: SamplingParams, position: number): number {
  if (params.temperature === 0) return logits.indexOf(Math.max(...logits));
  let best = { token: -1, score: Number.NEGATIVE_INFINITY };
  for (const token of [...exactDistribution(logits, params).keys()].sort((a, b) => a - b)) {
    const noise = gumbelOf(uniformBits(params.seed, position, token));
    const score = logits[token]! / params.temperature + noise;
    if (score > best.score) best = { token, score };
  }
  return best.token;
}

/** Standard-normal logits from the tested generator's own bits, but of another seed. */
function randomLogits(size: number, spread: number, seed: number): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => spread * gumbelOf(uniformBits(seed, 0, i)));
}

describe("distribution over 120,000 positions", () => {
  const logits = Float32Array.from([2, 1.5, 1.5, 0.3, 0, -1, 3, -2.5, Number.NEGATIVE_INFINITY, 2.2]);
  const cases: Partial<SamplingParams>[] = [
    {},
    { temperature: 0.6 },
    { temperature: 1.8 },
    { topK: 4 },
    { topP: 0.8 },
    { topK: 6, topP: 0.9, temperature: 0.8 },
    { topP: 1e-9 },
    { topK: 1 },
  ];
  for (const change of cases) {
    test(JSON.stringify(change), () => {
      const params = { ...plain, ...change };
      const expected = exactDistribution(logits, params);
      const sampler = new Sampler();
      const counts = new Map<number, number>();
      const draws = 120_000;
      for (let position = 0; position < draws; position++) {
        const token = sampler.sample(logits, params, position);
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
  const allParams = fc.record({
    temperature: fc.constantFrom(0, 0.05, 0.3, 1, 2),
    topP: fc.constantFrom(1, 0.999, 0.913, 0.5003, 0.1),
    topK: fc.constantFrom(0, 1, 2, 7, 50, 1000),
    seed: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  });

  test("on small vocabularies of any shape", () => {
    const sampler = new Sampler();
    fc.assert(
      fc.property(logitArrays, allParams, fc.nat(1_000_000), (logits, params, position) => {
        expect(sampler.sample(logits, params, position)).toBe(naiveSample(logits, params, position) as never);
      }),
      { numRuns: 1000 },
    );
  });

  test("on a full vocabulary, where nearly every token is rejected early", () => {
    const sampler = new Sampler();
    for (let round = 0; round < 24; round++) {
      const logits = randomLogits(49_152, [0.01, 1, 3][round % 3]!, round);
      const params = {
        ...plain,
        seed: round,
        ...[{}, { topK: 40 }, { topP: 0.95 }, { temperature: 0.4 }][round % 4],
      };
      expect(sampler.sample(logits, params, round)).toBe(naiveSample(logits, params, round) as never);
    }
  });
});

describe("greedy", () => {
  test("takes the largest logit, the lowest id on ties", () => {
    const greedy = { ...plain, temperature: 0 };
    expect(sampleToken(Float32Array.from([1, 5, 5, 2]), greedy, 3)).toBe(1 as never);
    expect(argmax(Float32Array.from([Number.NEGATIVE_INFINITY, -7]))).toBe(1);
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
