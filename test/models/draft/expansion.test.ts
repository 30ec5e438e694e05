import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Child, type ExpansionLimits, expandTree } from "../../../models/draft/expansion.ts";
import type { DraftCandidates } from "../../../models/draft-engine.ts";
import { seededRandom } from "../gguf/random-tensor.ts";

/** A toy model: a few tokens after any path, with coarse probabilities so that equal scores are common. */
function toyChildren(seed: number, path: readonly number[], topK: number): Child[] {
  const random = seededRandom(path.reduce((hash, token) => Math.imul(hash ^ token, 0x01000193), seed));
  const children = Array.from({ length: 6 }, (_, token) => ({
    token,
    logProb: 0 - Math.floor(random() * 4) / 2,
  }));
  return children.sort((a, b) => b.logProb - a.logProb || a.token - b.token).slice(0, topK);
}

interface Candidate {
  readonly path: readonly number[];
  readonly score: number;
}

/** The selection as the method's description has it, with whole paths and no pruning of work. */
function naiveExpansion(seed: number, { topK, depth, total }: ExpansionLimits): Candidate[] {
  const grow = ({ path, score }: Candidate): Candidate[] =>
    toyChildren(seed, path, topK).map(({ token, logProb }) => ({
      path: [...path, token],
      score: score + logProb,
    }));
  const best = (of: readonly Candidate[], count: number) =>
    of
      .map((candidate, index) => ({ candidate, index }))
      .sort((a, b) => b.candidate.score - a.candidate.score || a.index - b.index)
      .slice(0, count)
      .map(({ candidate }) => candidate);
  let level = grow({ path: [], score: 0 });
  const pool = [...level];
  for (let pass = 0; pass < depth; pass++) {
    level = best(level, topK).flatMap(grow);
    pool.push(...level);
  }
  return best(pool, total);
}

function expandToy(seed: number, limits: ExpansionLimits, passes = Number.POSITIVE_INFINITY) {
  let done = 0;
  return expandTree(limits, toyChildren(seed, [], limits.topK), async (frontier, pool) => {
    if (done++ >= passes) return undefined;
    expect(frontier.length).toBeLessThanOrEqual(limits.topK);
    return frontier.map((index) => toyChildren(seed, pool.tokensTo(index), limits.topK));
  });
}

function pathsOf({ parents, tokens }: DraftCandidates): number[][] {
  const paths: number[][] = [];
  tokens.forEach((token, i) => {
    paths.push([...(parents[i] === -1 ? [] : paths[parents[i]!]!), token]);
  });
  return paths;
}

const limits = fc.record({
  topK: fc.integer({ min: 1, max: 6 }),
  depth: fc.integer({ min: 0, max: 4 }),
  total: fc.integer({ min: 1, max: 80 }),
});

describe("an expansion", () => {
  test("selects what the naive method selects, in its order", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), limits, async (seed, bounds) => {
        const found = await expandToy(seed, bounds);
        const expected = naiveExpansion(seed, bounds);
        expect(pathsOf(found)).toEqual(expected.map(({ path }) => [...path]));
        expect([...found.scores]).toEqual(expected.map(({ score }) => score));
      }),
      { numRuns: 300 },
    );
  });

  test("has parents before children, which never score higher", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), limits, async (seed, bounds) => {
        const { parents, scores } = await expandToy(seed, bounds);
        parents.forEach((parent, i) => {
          expect(parent).toBeLessThan(i);
          expect(scores[i]!).toBeLessThanOrEqual(parent === -1 ? 0 : scores[parent]!);
        });
      }),
    );
  });

  test("that is ended early gives what a shallower one gives", async () => {
    for (let passes = 0; passes < 4; passes++) {
      const bounds = { topK: 4, depth: 6, total: 500 };
      expect(await expandToy(9, bounds, passes)).toEqual(await expandToy(9, { ...bounds, depth: passes }));
    }
  });

  test("without children of the root is empty", async () => {
    const found = await expandTree({ topK: 4, depth: 3, total: 10 }, [], async () => []);
    expect(found.tokens.length).toBe(0);
  });

  test("does no pass for nodes that can have no child in the result", async () => {
    const children = [
      { token: 1, logProb: Math.log(0.5) },
      { token: 2, logProb: Math.log(0.4) },
      { token: 3, logProb: Math.log(0.1) },
    ];
    const deepened: number[][] = [];
    await expandTree({ topK: 3, depth: 2, total: 3 }, children, async (frontier, pool) => {
      deepened.push(frontier.map((index) => pool.token(index)));
      return frontier.map(() => [{ token: 9, logProb: Math.log(0.9) }]);
    });
    // 0.45 and 0.36 replace 0.1 and then bound what is worth a second pass: 0.405 is above 0.4.
    expect(deepened).toEqual([[1, 2], [9]]);
  });
});
