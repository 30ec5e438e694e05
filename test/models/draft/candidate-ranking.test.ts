import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Noise } from "../../../decoding/noise.ts";
import { PathTokens } from "../../../decoding/path-tokens.ts";
import { Sampler, sampleToken } from "../../../decoding/sampling.ts";
import { GREEDY, type SamplingParams } from "../../../decoding/sampling-params.ts";
import { believed, type NoiseTrust, rankChildren } from "../../../models/draft/candidate-ranking.ts";
import { GUESS_SPACE, HeadDistribution, MIN_P_SHARE } from "../../../models/draft/head-distribution.ts";
import { mixDistributions } from "../../../models/draft/mixture.ts";
import type { Child } from "../../../models/draft/tree-growth.ts";
import { VocabularyNoise } from "../../../models/draft/vocabulary-noise.ts";

const logSoftmax = (logits: readonly number[]): Float32Array => {
  const logTotal = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
  return Float32Array.from(logits, (logit) => logit - logTotal);
};
/** One for each logit, its place being its token. */
const childrenOf = (logits: readonly number[]): Child[] =>
  [...logSoftmax(logits)].map((logProb, token) => ({ token, logProb: Math.min(logProb, 0) }));
/** As the target adds its noise. */
const PLAIN: NoiseTrust = { weight: 1, doubtMax: 0, sharpness: 1 };
/** As a drafter doubts itself. */
const DOUBTING: NoiseTrust = { weight: 1.5, doubtMax: 2.5, sharpness: 0.76 };
const massOf = (children: readonly Child[]) =>
  children.reduce((sum, { logProb }) => sum + Math.exp(logProb), 0);

const logitArrays = fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 2, maxLength: 300 });
const samplings: fc.Arbitrary<SamplingParams> = fc
  .record({
    temperature: fc.constantFrom(0, 0.5, 1, 1.5),
    topP: fc.constantFrom(1, 0.9, 0.3),
    topK: fc.constantFrom(0, 1, 5, 40),
    minP: fc.constantFrom(0, 0.0107, 0.3, 1),
    seed: fc.nat(),
  })
  .map((drawn) => ({ ...GREEDY, ...drawn }));

/** Tokens 0..29, so that penalties meet the smallest arrays, too. */
const penalties = fc.record({
  path: fc.array(fc.nat(29), { minLength: 4, maxLength: 30 }),
  params: fc.record({
    presencePenalty: fc.constantFrom(0, -0.71, 1.3),
    frequencyPenalty: fc.constantFrom(0, -0.37, 0.53),
    logitBias: fc.constantFrom([], [{ token: 1, bias: 3.1 }], [{ token: 2, bias: -100 }]),
  }),
});

/** What a drafter makes of bias, penalties and min-p. */
const softened = (sampling: SamplingParams): SamplingParams => ({
  ...sampling,
  minP: sampling.minP * MIN_P_SHARE,
  presencePenalty: sampling.presencePenalty * GUESS_SPACE.share,
  frequencyPenalty: sampling.frequencyPenalty * GUESS_SPACE.share,
  logitBias: sampling.logitBias.map(({ token, bias }) => ({ token, bias: bias * GUESS_SPACE.share })),
});

describe("a draft distribution shaped as the target's", () => {
  const identity = new HeadDistribution(Int32Array.from({ length: 300 }, (_, i) => i));

  test("gives the best tokens first, with log-probabilities of at most the whole mass", () => {
    fc.assert(
      fc.property(logitArrays, samplings, (logits, sampling) => {
        const logProbs = logSoftmax(logits);
        const shaped = identity.shaped(logProbs, sampling);
        expect(massOf(shaped)).toBeLessThan(1 + 1e-5);
        const ranked = [...logProbs.keys()].sort((a, b) => logProbs[b]! - logProbs[a]! || a - b);
        expect(shaped.map(({ token }) => token)).toEqual(ranked.slice(0, shaped.length));
      }),
    );
  });

  test("holds all of the mass where the sampler's cut is smaller than the look-up", () => {
    fc.assert(
      fc.property(logitArrays, samplings, (logits, sampling) => {
        fc.pre(sampling.temperature > 0 && (sampling.topK > 0 || logits.length <= 128));
        expect(massOf(identity.shaped(logSoftmax(logits), sampling))).toBeCloseTo(1, 4);
      }),
    );
  });

  test("names tokens by the target's ids", () => {
    const shaped = new HeadDistribution(Int32Array.of(70, 80, 90)).shaped(logSoftmax([0, 2, 1]), GREEDY);
    expect(shaped.map(({ token }) => token)).toEqual([80, 90, 70]);
  });

  test("coupled, it leads with the token that a target of the same logits draws", () => {
    fc.assert(
      fc.property(logitArrays, samplings, fc.nat(10_000), (logits, sampling, position) => {
        fc.pre(sampling.temperature > 0 && (sampling.topK > 0 || logits.length <= 128));
        // Rounding may decide at the border of the nucleus.
        fc.pre(sampling.topP === 1);
        const logProbs = logSoftmax(logits);
        const shaped = identity.shaped(logProbs, sampling);
        const coupling = { noise: new Noise(sampling.seed), position };
        const [first] = rankChildren(shaped, 1, PLAIN, coupling);
        expect(first!.token).toBe(sampleToken(logProbs, softened(sampling), position));
      }),
      { numRuns: 500 },
    );
  });

  /** Coarse, since the shift to the target's logits rounds. */
  const coarse = fc.array(
    fc.integer({ min: -64, max: 64 }).map((eighths) => eighths / 8),
    { minLength: 2, maxLength: 300 },
  );

  test("after bias and penalties leads with the token that a target of the same logits draws", () => {
    const sampler = new Sampler();
    fc.assert(
      fc.property(coarse, samplings, penalties, fc.nat(10_000), (logits, basics, given, position) => {
        fc.pre(basics.topP === 1 && (basics.topK > 0 || logits.length <= 128 || basics.temperature === 0));
        const sampling = { ...basics, ...given.params };
        const path = new PathTokens(4);
        path.write(0, given.path);
        const counts = path.counts(sampling);
        const logProbs = logSoftmax(logits);
        const before = Float32Array.from(logProbs);
        const shaped = identity.shaped(logProbs, sampling, counts);
        expect(logProbs).toEqual(before);
        expect(massOf(shaped)).toBeLessThan(1 + 1e-5);
        const coupling = sampling.temperature > 0 ? { noise: new Noise(sampling.seed), position } : undefined;
        const [first] = rankChildren(shaped, 1, PLAIN, coupling);
        expect(first!.token).toBe(sampler.sample(logProbs, softened(sampling), position, counts));
      }),
      { numRuns: 500 },
    );
  });
});

describe("ranking", () => {
  test("without noise keeps probabilities and order, the lower id on ties", () => {
    const children = [
      { token: 9, logProb: -1 },
      { token: 4, logProb: -2 },
      { token: 3, logProb: -1 },
    ];
    expect(rankChildren(children, 2, DOUBTING, undefined)).toEqual([
      { token: 3, logProb: -1 },
      { token: 9, logProb: -1 },
    ]);
  });

  test("with noise leaves mass for tokens that nobody named", () => {
    fc.assert(
      fc.property(logitArrays, fc.nat(), (logits, seed) => {
        const children = childrenOf(logits);
        const ranked = rankChildren(children, 10, DOUBTING, { noise: new Noise(seed), position: 3 });
        expect(massOf(ranked)).toBeLessThan(1);
        expect(ranked.every(({ logProb }) => logProb <= 0)).toBeTrue();
      }),
    );
  });
});

test("the more a log-probability weighs, the less the noise turns the order over", () => {
  fc.assert(
    fc.property(logitArrays, fc.nat(), (logits, seed) => {
      const children = childrenOf(logits);
      const coupling = { noise: new Noise(seed), position: 3 };
      const rankOfLikeliest = (weight: number) => {
        const trust = { ...PLAIN, weight, doubtMax: Number.POSITIVE_INFINITY };
        const best = Math.max(...children.map(({ logProb }) => logProb));
        const ranked = rankChildren(children, children.length, trust, coupling);
        const places = ranked.map(({ token }) => children[token]!.logProb);
        return places.indexOf(best);
      };
      const ranks = [1, 1.3, 3, 1000].map(rankOfLikeliest);
      expect(ranks).toEqual(ranks.toSorted((a, b) => b - a));
    }),
  );
});

test("likely guesses are told apart more than the target would, unlikely ones as it does", () => {
  const apart = (logProb: number) => believed(logProb, DOUBTING) - believed(logProb - 1, DOUBTING);
  expect(believed(0, DOUBTING)).toBe(0);
  expect(apart(-1)).toBeCloseTo(1.5, 12);
  expect(apart(-9)).toBeCloseTo(1, 12);
  expect(believed(-9, DOUBTING)).toBeCloseTo(-11.5, 12);
});

describe("candidates that the noise chooses", () => {
  const VOCABULARY = Int32Array.from({ length: 3000 }, (_, i) => 2 * i + 1);
  const distribution = new HeadDistribution(VOCABULARY);
  const SEED = 5;
  const noise = new VocabularyNoise(VOCABULARY, new Noise(SEED));
  const coupledAt = (position: number, trust = DOUBTING) => ({ noise, position, trust });
  /** A long tail: the likeliest 128 of 3,000 have less than half of the mass. */
  const logits = Array.from(VOCABULARY, (token) => ((token * 7919) % 3001) / 600);

  test("are the best of the whole vocabulary, and what they were worth", () => {
    for (const temperature of [0.5, 1, 1.3]) {
      const sampling = { ...GREEDY, temperature, seed: SEED };
      const logProbs = logSoftmax(logits);
      const coupling = { noise: new Noise(SEED), position: 40 };
      const tempered = logSoftmax(logits.map((logit) => logit / temperature));
      const all = [...tempered].map((logProb, i) => ({ token: VOCABULARY[i]!, logProb }));
      const wanted = rankChildren(all, 20, DOUBTING, coupling);
      const chosen = distribution.shaped(logProbs, sampling, undefined, coupledAt(40));
      const found = rankChildren(chosen, 20, DOUBTING, coupling);
      expect(found.map(({ token }) => token)).toEqual(wanted.map(({ token }) => token));
      for (const { token, logProb } of chosen) {
        expect(logProb).toBeCloseTo(all.find((child) => child.token === token)!.logProb, 4);
      }
    }
  });

  test("hold what a target of the same logits draws, however unlikely that is", () => {
    const sampling = { ...GREEDY, temperature: 1, seed: SEED };
    const logProbs = logSoftmax(logits);
    for (let position = 1; position <= 50; position++) {
      const inTarget = new Float32Array(6001).fill(Number.NEGATIVE_INFINITY);
      for (const [i, token] of VOCABULARY.entries()) inTarget[token] = logProbs[i]!;
      const chosen = distribution.shaped(logProbs, sampling, undefined, coupledAt(position, PLAIN));
      const coupling = { noise: new Noise(SEED), position };
      const [first] = rankChildren(chosen, 1, PLAIN, coupling);
      expect(first!.token).toBe(sampleToken(inTarget, sampling, position));
    }
  });

  test("are the likeliest ones where the sampler draws without noise, or from a part of the tokens", () => {
    const logProbs = logSoftmax(logits);
    for (const cut of [{ temperature: 0 }, { topK: 40 }, { topP: 0.4 }, { minP: 0.2 }]) {
      const sampling = { ...GREEDY, temperature: 1, seed: SEED, ...cut };
      expect(distribution.shaped(logProbs, sampling, undefined, coupledAt(40))).toEqual(
        distribution.shaped(logProbs, sampling),
      );
    }
  });
});

test("the noise of a vocabulary is the target's, at whatever positions it was asked for before", () => {
  const vocabulary = Int32Array.of(3, 8, 9, 40_001);
  const rows = new VocabularyNoise(vocabulary, new Noise(77));
  const noise = new Noise(77);
  for (const position of [0, 5, 21, 5, 6, 37, 21, 5]) {
    const wanted = Float32Array.from(vocabulary, (token) => noise.gumbel(position, token));
    expect(rows.at(position)).toEqual(wanted);
  }
});

describe("a mixture", () => {
  const head = [
    { token: 1, logProb: Math.log(0.6) },
    { token: 2, logProb: Math.log(0.3) },
  ];

  test("is the head's distribution where no n-gram matches", () => {
    expect(mixDistributions(head, { matched: 0, children: [] })).toEqual(head);
  });

  test("adds mass to what both name and keeps what one names", () => {
    const children = [
      { token: 2, logProb: Math.log(0.25) },
      { token: 7, logProb: Math.log(0.25) },
    ];
    const mixed = new Map(
      mixDistributions(head, { matched: 5, children }).map(({ token, logProb }) => [
        token,
        Math.exp(logProb),
      ]),
    );
    const weight = mixed.get(7)! * 2;
    expect(weight).toBeGreaterThan(0);
    expect(mixed.get(1)).toBeCloseTo((1 - weight) * 0.6, 10);
    expect(mixed.get(2)).toBeCloseTo((1 - weight) * 0.3 + weight / 2, 10);
  });

  test("trusts longer matches more", () => {
    const share = (matched: number) =>
      mixDistributions(head, { matched, children: [{ token: 7, logProb: 0 }] }).find(
        ({ token }) => token === 7,
      )!.logProb;
    for (let matched = 3; matched <= 12; matched++)
      expect(share(matched)).toBeGreaterThanOrEqual(share(matched - 1));
    expect(share(40)).toBe(share(12));
  });
});
