import type { AnswerRule, TokenMask, TokenMasks } from "../../decoding/token-mask.ts";
import { TOY } from "./toy-model.ts";

/** Tokens that a toy grammar, named by a number, lets follow the answer: some two thirds of them, and the end. */
export function toyAllowed(
  grammar: string,
  answer: readonly number[],
  stopTokens: readonly number[],
): number[] {
  const state = answer.reduce((sum, token) => (sum * 5 + token + 1) % 9973, Number(grammar));
  return Array.from({ length: TOY.vocab }, (_, token) => token).filter(
    (token) => stopTokens.includes(token) || (state + token * 7) % 3 !== 0,
  );
}

/** What the verifier asks; counts the sessions that it was not told the end of. */
export class ToyMasks implements TokenMasks {
  readonly sessions = new Set<string>();

  async next(
    session: string,
    { grammar, stopTokens }: AnswerRule,
    answer: readonly number[],
  ): Promise<TokenMask> {
    this.sessions.add(session);
    const mask = new Int32Array(1);
    for (const token of toyAllowed(grammar, answer, stopTokens)) mask[0]! |= 1 << token;
    return mask;
  }

  release(session: string): void {
    this.sessions.delete(session);
  }
}
