import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type ExpansionLimits, TreeGrowth } from "../../../models/draft/tree-growth.ts";
import type { DraftCandidates } from "../../../models/draft-engine.ts";
import { TOY_FAMILY, toyChildren } from "./toy-children.ts";

interface Candidate {
  readonly path: readonly number[];
  readonly score: number;
}

interface Toy {
  readonly seed: number;
  readonly steps: number;
}

const COARSE = 4;

function family({ seed, steps }: Toy, topK: number, { path, score }: Candidate): Candidate[] {
  return toyChildren(seed, path, steps)
    .slice(0, topK)
    .map(({ token, logProb }) => ({ path: [...path, token], score: score + logProb }));
}

function best(of: readonly Candidate[], count: number): Candidate[] {
  return of
    .map((candidate, index) => ({ candidate, index }))
    .sort((a, b) => b.candidate.score - a.candidate.score || a.index - b.index)
    .slice(0, count)
    .map(({ candidate }) => candidate);
}

/** `level` and `layers` as their descriptions have them, with whole paths and no pruning of work. */
function naiveLevels(toy: Toy, limits: ExpansionLimits): Candidate[] {
  const { growth, topK, batch, depth, total, minProbability } = limits;
  let level = family(toy, topK, { path: [], score: 0 });
  const pool = growth === "layers" ? best(level, batch) : [...level];
  for (let pass = 0; pass < depth; pass++) {
    const frontier = best(level, batch).filter(({ score }) => score >= Math.log(minProbability));
    level = frontier.flatMap((candidate) => family(toy, topK, candidate));
    pool.push(...(growth === "layers" ? best(level, batch) : level));
  }
  return best(pool, total);
}

/** Every path of the whole tree that is likely enough. */
function exhaustive(toy: Toy, { topK, depth, minProbability }: ExpansionLimits): Candidate[] {
  const all: Candidate[] = [];
  let level: Candidate[] = [{ path: [], score: 0 }];
  for (let pass = 0; pass <= depth; pass++) {
    level = level
      .flatMap((candidate) => family(toy, topK, candidate))
      .filter(({ score }) => score >= Math.log(minProbability));
    all.push(...level);
  }
  return all;
}

/** Grows to the end, telling what each pass deepened and found. */
function grow(toy: Toy, limits: ExpansionLimits) {
  const growth = new TreeGrowth(limits, toyChildren(toy.seed, [], toy.steps));
  const deepened: number[][][] = [];
  const parts = [growth.selectNew()];
  while (growth.frontier.length > 0) {
    const paths = growth.frontier.map((index) => growth.pool.tokensTo(index));
    deepened.push(paths);
    growth.grow(paths.map((path) => toyChildren(toy.seed, path, toy.steps)));
    parts.push(growth.selectNew());
  }
  return { found: growth.select(), parts, deepened };
}

function pathsOf({ parents, tokens }: DraftCandidates): number[][] {
  const paths: number[][] = [];
  tokens.forEach((token, i) => {
    paths.push([...(parents[i] === -1 ? [] : paths[parents[i]!]!), token]);
  });
  return paths;
}

/** Scores by path, as the drafter's float32 has them. */
const byPath = (candidates: readonly Candidate[]) =>
  new Map(candidates.map(({ path, score }) => [path.join(), Math.fround(score)]));

const scoresOf = (found: DraftCandidates) =>
  new Map(pathsOf(found).map((path, i) => [path.join(), found.scores[i]!]));

const limitsOf = (...growths: ExpansionLimits["growth"][]): fc.Arbitrary<ExpansionLimits> =>
  fc.record({
    growth: fc.constantFrom(...growths),
    topK: fc.integer({ min: 1, max: TOY_FAMILY }),
    batch: fc.integer({ min: 1, max: 8 }),
    depth: fc.integer({ min: 0, max: 4 }),
    total: fc.integer({ min: 1, max: 80 }),
    minProbability: fc.constantFrom(0, 0.05, 0.3),
  });

describe("growth by level and by layers", () => {
  test("selects what the naive method selects, in its order", () => {
    fc.assert(
      fc.property(fc.nat(), limitsOf("level", "layers"), (seed, limits) => {
        const toy = { seed, steps: COARSE };
        const { found, deepened } = grow(toy, limits);
        const expected = naiveLevels(toy, limits);
        expect(pathsOf(found)).toEqual(expected.map(({ path }) => [...path]));
        expect([...found.scores]).toEqual(expected.map(({ score }) => Math.fround(score)));
        expect(deepened.length).toBeLessThanOrEqual(limits.depth);
      }),
      { numRuns: 300 },
    );
  });

  test("deepens no candidate that can have no child in the result", () => {
    const limits = { topK: 3, batch: 3, depth: 2, total: 3, minProbability: 0 };
    const probabilities = [0.5, 0.4, 0.1];
    const growth = new TreeGrowth(
      { growth: "level", ...limits },
      probabilities.map((probability, i) => ({ token: i + 1, logProb: Math.log(probability) })),
    );
    const deepened: number[][] = [];
    while (growth.frontier.length > 0) {
      deepened.push(growth.frontier.map((index) => growth.pool.token(index)));
      growth.grow(growth.frontier.map(() => [{ token: 9, logProb: Math.log(0.9) }]));
    }
    // 0.45 and 0.36 replace 0.1 and then bound what is worth a second pass: 0.405 is above 0.4.
    expect(deepened).toEqual([[1, 2], [9]]);
  });
});

describe("growth of the best", () => {
  test("finds the best of the whole tree, however many it deepens at once", () => {
    fc.assert(
      fc.property(fc.nat(), limitsOf("best"), (seed, limits) => {
        const toy = { seed, steps: 0 };
        const expected = best(exhaustive(toy, limits), limits.total);
        expect(scoresOf(grow(toy, limits).found)).toEqual(byPath(expected));
      }),
      { numRuns: 300 },
    );
  });

  test("with equal scores among them has the same scores", () => {
    fc.assert(
      fc.property(fc.nat(), limitsOf("best"), (seed, limits) => {
        const toy = { seed, steps: COARSE };
        const expected = best(exhaustive(toy, limits), limits.total).map(({ score }) => Math.fround(score));
        expect([...grow(toy, limits).found.scores]).toEqual(expected);
      }),
    );
  });

  test("one at a time goes from the most to the least likely", () => {
    fc.assert(
      fc.property(fc.nat(), limitsOf("best"), (seed, limits) => {
        const toy = { seed, steps: 0 };
        const { found, deepened } = grow(toy, { ...limits, batch: 1 });
        const scores = scoresOf(found);
        const order = deepened.map(([path]) => scores.get(path!.join())!);
        expect(order).toEqual([...order].sort((a, b) => b - a));
      }),
    );
  });
});

describe("every growth", () => {
  const any = limitsOf("level", "layers", "best");

  test("has parents before children, which never score higher, and keeps the bounds", () => {
    fc.assert(
      fc.property(fc.nat(), any, (seed, limits) => {
        const { found, parts, deepened } = grow({ seed, steps: COARSE }, limits);
        expect(found.tokens.length).toBeLessThanOrEqual(limits.total);
        for (const pass of deepened) expect(pass.length).toBeLessThanOrEqual(limits.batch);
        for (const tree of [found, ...parts]) {
          tree.parents.forEach((parent, i) => {
            expect(parent).toBeLessThan(i);
            expect(tree.scores[i]!).toBeLessThanOrEqual(parent === -1 ? 0 : tree.scores[parent]!);
          });
          for (const path of pathsOf(tree)) expect(path.length).toBeLessThanOrEqual(limits.depth + 1);
        }
      }),
    );
  });

  test("deepens nothing twice, and nothing below the least probability", () => {
    fc.assert(
      fc.property(fc.nat(), any, (seed, limits) => {
        const toy = { seed, steps: 0 };
        const all = byPath(exhaustive(toy, { ...limits, minProbability: 0 }));
        const paths = grow(toy, limits)
          .deepened.flat()
          .map((path) => path.join());
        expect(new Set(paths).size).toBe(paths.length);
        for (const path of paths) {
          expect(all.get(path)!).toBeGreaterThanOrEqual(Math.log(limits.minProbability) - 1e-6);
        }
      }),
    );
  });

  test("tells in parts all that it selects, and nothing twice but ancestors", () => {
    fc.assert(
      fc.property(fc.nat(), any, (seed, limits) => {
        const { found, parts } = grow({ seed, steps: 0 }, limits);
        const told = new Map<string, number>();
        for (const part of parts) {
          const paths = pathsOf(part).map((path) => path.join());
          const fresh = paths.filter((path) => !told.has(path));
          for (const path of paths) {
            const isNeeded = fresh.some((other) => other === path || other.startsWith(`${path},`));
            expect(isNeeded).toBe(true);
          }
          for (const [path, score] of scoresOf(part)) told.set(path, score);
        }
        for (const [path, score] of scoresOf(found)) expect(told.get(path)).toBe(score);
      }),
    );
  });

  test("without children of the root is empty", () => {
    fc.assert(
      fc.property(any, (limits) => {
        const growth = new TreeGrowth(limits, []);
        expect(growth.frontier).toEqual([]);
        expect(growth.select().tokens.length).toBe(0);
      }),
    );
  });
});
