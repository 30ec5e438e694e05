import { commonLength } from "./common-length.ts";
import type { SamplingParams } from "./sampling-params.ts";

/** What penalties look at in the tokens before a draw: each token once, in any order. */
export interface PathCounts {
  /** [tokens] token ids. */
  readonly tokens: Uint32Array;
  /** [tokens] times in the answer; 0 for tokens of the prompt alone. */
  readonly inAnswer: Uint32Array;
}

export const NO_COUNTS: PathCounts = { tokens: new Uint32Array(0), inAnswer: new Uint32Array(0) };

/** The tokens of prompt and answer, and how often each occurs. Writing costs nothing for tokens already there. */
export class PathTokens {
  readonly #promptTokens: number;
  readonly #tokens: number[] = [];
  /** Occurrences by token; none is 0. */
  readonly #inPrompt = new Map<number, number>();
  readonly #inAnswer = new Map<number, number>();

  /** `promptTokens`: position at which the answer begins. */
  constructor(promptTokens: number) {
    this.#promptTokens = promptTokens;
  }

  get length(): number {
    return this.#tokens.length;
  }

  /** The tokens from `promptTokens` on. */
  get answer(): number[] {
    return this.#tokens.slice(this.#promptTokens);
  }

  /** How many tokens this path and the other one begin with alike. */
  commonLength(other: PathTokens): number {
    return commonLength(this.#tokens, other.#tokens);
  }

  /**
   * Writes `tokens` at `start`, at most the present length (else a RangeError). Later tokens stay if
   * nothing changes, since then they are still what follows; else they go.
   */
  write(start: number, tokens: ArrayLike<number>): void {
    if (start > this.length) {
      throw new RangeError(`the path has ${this.length} tokens, none can be written at ${start}`);
    }
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      if (this.#tokens[start + i] === token) continue;
      this.#truncate(start + i);
      const counts = this.#countsAt(this.#tokens.push(token) - 1);
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
  }

  /** What `params` need to know of the path with `tail` [tokens] behind it. Costs nothing without penalties. */
  counts(params: SamplingParams, tail: readonly number[] = []): PathCounts {
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = params;
    const countsPrompt = repetitionPenalty !== 1;
    if (!countsPrompt && presencePenalty === 0 && frequencyPenalty === 0) return NO_COUNTS;
    const { length } = this;
    this.write(length, tail);
    const tokens = new Uint32Array(this.#inAnswer.size + (countsPrompt ? this.#inPrompt.size : 0));
    const inAnswer = new Uint32Array(tokens.length);
    let size = 0;
    for (const [token, count] of this.#inAnswer) {
      tokens[size] = token;
      inAnswer[size++] = count;
    }
    if (countsPrompt) {
      for (const token of this.#inPrompt.keys()) if (!this.#inAnswer.has(token)) tokens[size++] = token;
    }
    this.#truncate(length);
    return { tokens: tokens.subarray(0, size), inAnswer: inAnswer.subarray(0, size) };
  }

  #truncate(length: number): void {
    while (this.#tokens.length > length) {
      const counts = this.#countsAt(this.#tokens.length - 1);
      const token = this.#tokens.pop()!;
      const rest = counts.get(token)! - 1;
      if (rest > 0) counts.set(token, rest);
      else counts.delete(token);
    }
  }

  #countsAt(position: number): Map<number, number> {
    return position < this.#promptTokens ? this.#inPrompt : this.#inAnswer;
  }
}
