import { expect, test } from "bun:test";
import { playTrace } from "../../../bench/simulator/guess.ts";

test("a recorded tree becomes guesses with probabilities given their parents, best first", () => {
  const session = playTrace({
    prompt: "p",
    kind: "code",
    temperature: 0,
    promptTokens: 9,
    tokens: [10, 20],
    trees: [
      { parents: [-1, -1, 1, 1], tokens: [5, 6, 7, 8], scores: [-2, -0.5, -3, -1.5] },
      { parents: [], tokens: [], scores: [] },
    ],
  });
  const root = session.guessesBelow(0);
  expect(root.token).toBe(10);
  expect(root.children.map(({ token, logProb }) => [token, logProb])).toEqual([
    [6, -0.5],
    [5, -2],
  ]);
  expect(root.children[0]!.children.map(({ token, logProb }) => [token, logProb])).toEqual([
    [8, -1],
    [7, -2.5],
  ]);
  expect(session.guessesBelow(1)).toEqual({ token: 20, logProb: 0, children: [] });
});
