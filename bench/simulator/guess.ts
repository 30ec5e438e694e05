import type { SessionTrace, TraceTree } from "../acceptance-trace.ts";

/** A token that the drafter holds possible, and what it guesses below it. */
export interface Guess {
  readonly token: number;
  /** Natural log of its probability, given its parent. */
  readonly logProb: number;
  /** Best first; empty where nothing was recorded. */
  readonly children: readonly Guess[];
}

/** A session to play: the answer, and what is guessed on the way. */
export interface PlayedSession {
  readonly tokens: readonly number[];
  /** What the drafter guesses below `tokens[index]` once all tokens up to it are verified. */
  guessesBelow(index: number): Guess;
}

export function playTrace({ tokens, trees }: SessionTrace): PlayedSession {
  return { tokens, guessesBelow: (index) => toGuess(tokens[index] ?? 0, trees[index]) };
}

interface OpenGuess extends Guess {
  readonly children: OpenGuess[];
}

function toGuess(token: number, tree: TraceTree | undefined): Guess {
  const root: OpenGuess = { token, logProb: 0, children: [] };
  if (tree === undefined) return root;
  const { parents, tokens, scores } = tree;
  const guesses: OpenGuess[] = [];
  parents.forEach((parent, index) => {
    const logProb = (scores[index] ?? 0) - (scores[parent] ?? 0);
    const guess = { token: tokens[index] ?? 0, logProb: Math.min(0, logProb), children: [] };
    guesses.push(guess);
    (guesses[parent] ?? root).children.push(guess);
  });
  for (const guess of [root, ...guesses]) guess.children.sort((a, b) => b.logProb - a.logProb);
  return root;
}
