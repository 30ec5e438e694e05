/**
 * Which tokens may come next: [ceil(vocabulary / 32)] words, bit t % 32 of word t / 32 set for each token t
 * that may.
 */
export type TokenMask = Int32Array;

/** The tokens that an answer may consist of, as a pure function of the answer so far. */
export interface TokenMasks {
  /**
   * What may follow `answer` [tokens], whose first token is the first after the prompt. `session` only tells
   * which work may be reused. Rejects with GrammarError when the grammar can't be used.
   */
  next(session: string, rule: AnswerRule, answer: readonly number[]): Promise<TokenMask>;
  /** Frees what is kept for the session; unknown ones are ignored. */
  release(session: string): void;
}

/** What a session demands of its answer. */
export interface AnswerRule {
  /** An xgrammar structural tag, as JSON. */
  readonly grammar: string;
  /** Tokens that end the answer: allowed where the grammar is satisfied. */
  readonly stopTokens: readonly number[];
}

/** Longest grammar of a session, in UTF-16 units: with a session's other facts it rides on one segment. */
export const GRAMMAR_LENGTH_MAX = 24_000;

/** A grammar that can't be compiled, or not in time, or that no answer can go on in. */
export class GrammarError extends Error {
  override readonly name = "GrammarError";
}

export const allows = (mask: TokenMask, token: number): boolean =>
  ((mask[token >>> 5] ?? 0) & (1 << (token & 31))) !== 0;

/** A copy of `logits` [vocabulary] with -Infinity for each token that `mask` lacks. */
export function maskLogits(logits: Float32Array, mask: TokenMask): Float32Array {
  const masked = new Float32Array(logits.length).fill(Number.NEGATIVE_INFINITY);
  for (let word = 0; word * 32 < logits.length; word++) {
    const bits = mask[word] ?? 0;
    if (bits === 0) continue;
    const end = Math.min(word * 32 + 32, logits.length);
    for (let token = word * 32; token < end; token++) {
      if ((bits & (1 << (token & 31))) !== 0) masked[token] = logits[token]!;
    }
  }
  return masked;
}
