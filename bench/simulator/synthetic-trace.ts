import type { Guess, PlayedSession } from "./guess.ts";

/** How well a made-up drafter guesses. Its probabilities are averages over easy and hard positions. */
export interface SyntheticDrafter {
  /** Of the best guess, by levels below the root; deeper ones than these lose `decay` a level. */
  readonly top1: readonly number[];
  /** Of the second guess and the following, at the first level: where the best one is wrong more often, these share in that. */
  readonly others: readonly number[];
  readonly decay: number;
  /** Exponent that sharpens what the drafter says of itself: 1 for calibrated scores, more for overconfident ones. */
  readonly overconfidence: number;
}

const OTHERS = [0.14, 0.06, 0.03, 0.02, 0.012, 0.009, 0.007, 0.006, 0.005] as const;

export const SYNTHETIC_DRAFTERS = {
  /** The survey's average drafter. */
  average: { top1: [0.6], others: OTHERS, decay: 0.03, overconfidence: 1 },
  /** EAGLE-3 on its own ground. */
  eagle: { top1: [0.68], others: OTHERS.map((p) => p * 0.8), decay: 0.03, overconfidence: 1 },
  /** The head that comes along, on held-out prompts. */
  head: {
    top1: [0.54, 0.48, 0.44, 0.41],
    others: [0.12, 0.06, 0.035, 0.025, 0.016, 0.012, 0.009, 0.007, 0.006],
    decay: 0.03,
    overconfidence: 1,
  },
} as const satisfies Record<string, SyntheticDrafter>;

export type SyntheticName = keyof typeof SYNTHETIC_DRAFTERS;

export interface SyntheticOptions {
  readonly drafter: SyntheticDrafter;
  readonly sessions: number;
  /** Tokens a session. */
  readonly tokens: number;
  readonly seed: number;
}

/** Sessions with made-up answers; their guesses are made when they are looked at, the same each time. */
export function syntheticSessions({ drafter, sessions, tokens, seed }: SyntheticOptions): PlayedSession[] {
  return Array.from(
    { length: sessions },
    (_, index) => new SyntheticSession(drafter, tokens, mix(seed, index)),
  );
}

/** Half of all positions are easy: guesses fail there at a quarter of the average rate. */
const EASY_FAILURES = 0.25;
/** Levels that are told apart. */
const LEVELS_MAX = 24;
const VOCABULARY = 49_152;
/** Between the tokens of a node's guesses, so that they differ. */
const TOKEN_STEP = 4919;

/** The drafter's guesses at one kind of place. */
interface Distribution {
  /** Probability that the first guesses up to this one hold the target's token. */
  readonly cumulative: readonly number[];
  /** What the drafter says of each, natural log. */
  readonly logProbs: readonly number[];
}

class SyntheticSession implements PlayedSession {
  readonly tokens: readonly number[];
  readonly #seed: number;
  readonly #easy: readonly Distribution[];
  readonly #hard: readonly Distribution[];

  constructor(drafter: SyntheticDrafter, tokens: number, seed: number) {
    this.#seed = seed;
    this.tokens = Array.from({ length: tokens }, (_, index) => mix(seed, index) % VOCABULARY);
    this.#easy = distributions(drafter, true);
    this.#hard = distributions(drafter, false);
  }

  guessesBelow(index: number): Guess {
    return new SyntheticGuess(this, { token: this.tokens[index] ?? 0, logProb: 0, level: 0, key: 0, index });
  }

  /** The guesses after a node: `key` names its path if that is wrong, `index` is its place in the answer if not. */
  guessesAfter({ level, key, index }: Place): SyntheticGuess[] {
    const place = index === undefined ? key : mix(this.#seed ^ 0x5bd1e995, index);
    const isEasy = mix(place, 1) < 2 ** 31;
    const { cumulative, logProbs } = at(isEasy ? this.#easy : this.#hard, Math.min(level, LEVELS_MAX - 1));
    const truth = index === undefined ? undefined : this.tokens[index + 1];
    const draw = mix(place, 2) / 2 ** 32;
    const rank = truth === undefined ? -1 : cumulative.findIndex((end) => draw < end);
    const first = mix(place, 3);
    return logProbs.map((logProb, guess) => {
      if (guess === rank && truth !== undefined && index !== undefined) {
        return new SyntheticGuess(this, {
          token: truth,
          logProb,
          level: level + 1,
          key: 0,
          index: index + 1,
        });
      }
      const token = this.#differing((first + guess * TOKEN_STEP) % VOCABULARY, truth);
      const key = mix(place, 4 + guess);
      return new SyntheticGuess(this, { token, logProb, level: level + 1, key, index: undefined });
    });
  }

  #differing(token: number, truth: number | undefined): number {
    return token === truth ? token + VOCABULARY : token;
  }
}

interface Place {
  readonly level: number;
  readonly key: number;
  readonly index: number | undefined;
}

class SyntheticGuess implements Guess {
  readonly token: number;
  readonly logProb: number;
  readonly #session: SyntheticSession;
  readonly #place: Place;
  #children: SyntheticGuess[] | undefined;

  constructor(session: SyntheticSession, guess: Place & Pick<Guess, "token" | "logProb">) {
    this.token = guess.token;
    this.logProb = guess.logProb;
    this.#session = session;
    this.#place = guess;
  }

  get children(): readonly Guess[] {
    this.#children ??= this.#session.guessesAfter(this.#place);
    return this.#children;
  }
}

function distributions(drafter: SyntheticDrafter, isEasy: boolean): Distribution[] {
  return Array.from({ length: LEVELS_MAX }, (_, level) => distributionAt(drafter, level, isEasy));
}

function distributionAt(drafter: SyntheticDrafter, level: number, isEasy: boolean): Distribution {
  const { top1, others, decay, overconfidence } = drafter;
  const beyond = Math.max(0, level - (top1.length - 1));
  const best = at(top1, Math.min(level, top1.length - 1)) * (1 - decay) ** beyond;
  const known = 1 - at(top1, 0);
  // Hard positions fail more, to keep the average; but the best guess must not fall behind the second.
  const hard = Math.min(2 - EASY_FAILURES, known / ((1 - best) * (known + at(others, 0))));
  const failures = isEasy ? 2 - hard : hard;
  const share = (failures * (1 - best)) / known;
  const probabilities = [1 - failures * (1 - best), ...others.map((p) => p * share)];
  let sum = 0;
  const cumulative = probabilities.map((p) => {
    sum += p;
    return sum;
  });
  const sharpened = [...probabilities, 1 - sum].map((p) => p ** overconfidence);
  const mass = sharpened.reduce((all, p) => all + p, 0);
  const logProbs = probabilities.map((_, rank) => Math.log(at(sharpened, rank) / mass));
  return { cumulative, logProbs };
}

function at<T>(values: readonly T[], index: number): T {
  const value = values[index];
  if (value === undefined) throw new RangeError(`there is no entry ${index}`);
  return value;
}

/** A 32-bit hash of two numbers (the finaliser of MurmurHash3). */
function mix(a: number, b: number): number {
  let hash = (Math.imul(a, 0x9e3779b1) ^ Math.imul(b + 0x7f4a7c15, 0x85ebca6b)) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
