import { describe, expect, test } from "bun:test";
import type { Guess } from "../../../bench/simulator/guess.ts";
import {
  SYNTHETIC_DRAFTERS,
  type SyntheticDrafter,
  syntheticSessions,
} from "../../../bench/simulator/synthetic-trace.ts";

const make = (drafter: SyntheticDrafter, tokens = 4000, seed = 11) =>
  syntheticSessions({ drafter, sessions: 1, tokens, seed })[0]!;

/** The guesses after the true path's first `depth` tokens; undefined where those were not all guessed. */
function follow(root: Guess, path: readonly number[]): Guess | undefined {
  let at: Guess | undefined = root;
  for (const token of path) at = at?.children.find((child) => child.token === token);
  return at;
}

/** Share of the positions whose true token is among the best `count` guesses, `depth` levels below the root. */
function hitRate(drafter: SyntheticDrafter, count: number, depth = 0): number {
  const { tokens, guessesBelow } = bound(make(drafter));
  let [hits, all] = [0, 0];
  for (let i = 0; i + depth + 1 < tokens.length; i++) {
    const node = follow(guessesBelow(i), tokens.slice(i + 1, i + 1 + depth));
    if (node === undefined) continue;
    all++;
    if (node.children.slice(0, count).some(({ token }) => token === tokens[i + depth + 1])) hits++;
  }
  return hits / all;
}

const bound = (session: ReturnType<typeof make>) => ({
  tokens: session.tokens,
  guessesBelow: (index: number) => session.guessesBelow(index),
});

describe("synthetic sessions", () => {
  test.each(Object.entries(SYNTHETIC_DRAFTERS))(
    "%s guesses as often right as it is said to",
    (_, drafter) => {
      expect(Math.abs(hitRate(drafter, 1) - drafter.top1[0])).toBeLessThan(0.03);
      const four = drafter.top1[0] + drafter.others.slice(0, 3).reduce((sum, p) => sum + p, 0);
      expect(Math.abs(hitRate(drafter, 4) - four)).toBeLessThan(0.03);
    },
  );

  test("is calibrated: probabilities add up to the hits", () => {
    const { tokens, guessesBelow } = bound(make(SYNTHETIC_DRAFTERS.head));
    let [expected, hits] = [0, 0];
    for (let i = 0; i + 1 < tokens.length; i++) {
      for (const { token, logProb } of guessesBelow(i).children.slice(0, 2)) {
        expected += Math.exp(logProb);
        if (token === tokens[i + 1]) hits++;
      }
    }
    expect(Math.abs(hits / expected - 1)).toBeLessThan(0.04);
  });

  test("overconfidence changes what the drafter says and not what comes", () => {
    const sure = { ...SYNTHETIC_DRAFTERS.average, overconfidence: 1.5 };
    expect(hitRate(sure, 1)).toBe(hitRate(SYNTHETIC_DRAFTERS.average, 1));
    const [a, b] = [make(sure, 200), make(SYNTHETIC_DRAFTERS.average, 200)];
    const mean = (session: typeof a) =>
      session.tokens.reduce((sum, _, i) => sum + Math.exp(session.guessesBelow(i).children[0]!.logProb), 0) /
      200;
    expect(mean(a)).toBeGreaterThan(mean(b) + 0.05);
  });

  test("guesses are sorted, distinct, below wrong nodes too, and the same each time", () => {
    const [a, b] = [make(SYNTHETIC_DRAFTERS.eagle, 50), make(SYNTHETIC_DRAFTERS.eagle, 50)];
    const visit = (guess: Guess, other: Guess, depth: number) => {
      const scores = guess.children.map(({ logProb }) => logProb);
      expect(scores).toEqual(scores.toSorted((x, y) => y - x));
      expect(new Set(guess.children.map(({ token }) => token)).size).toBe(10);
      expect(guess.children.map(({ token }) => token)).toEqual(other.children.map(({ token }) => token));
      if (depth > 0)
        for (const [i, child] of guess.children.entries()) visit(child, other.children[i]!, depth - 1);
    };
    for (const index of [0, 7, 48]) visit(a.guessesBelow(index), b.guessesBelow(index), 2);
    expect(a.tokens).toEqual(b.tokens);
    expect(make(SYNTHETIC_DRAFTERS.eagle, 50, 12).tokens).not.toEqual(a.tokens);
  });

  test("what is guessed below a path does not depend on the root that it is seen from, but for its odds", () => {
    const session = make(SYNTHETIC_DRAFTERS.average, 60);
    for (let i = 0; i < 50; i++) {
      const below = follow(session.guessesBelow(i), [session.tokens[i + 1]!]);
      if (below === undefined) continue;
      const again = new Set(session.guessesBelow(i + 1).children.map(({ token }) => token));
      const common = below.children.filter(({ token }) => again.has(token)).length;
      expect(common).toBeGreaterThanOrEqual(8);
    }
  });
});
