import { type CompiledGrammar, GrammarCompiler, GrammarMatcher, TokenizerInfo } from "@mlc-ai/web-xgrammar";
import type { AnswerRule, TokenMask } from "../../decoding/token-mask.ts";
import { GrammarError } from "../../decoding/token-mask.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { CompiledGrammars, type GrammarLease } from "./compiled-grammars.ts";
import { Utf8States } from "./utf8-states.ts";

interface Progress {
  readonly key: string;
  readonly grammar: GrammarLease<CompiledGrammar>;
  readonly matcher: GrammarMatcher;
  /** Tokens that the matcher has accepted. */
  accepted: number[];
}

/** Matchers are kept for this many sessions. */
const SESSIONS_MAX = 256;
/** Compiled grammars are kept for the sessions that use them, and this many for those to come: one may take 50 MB. */
export const IDLE_GRAMMARS_MAX = 8;

/**
 * xgrammar in the calling thread, for one call at a time. Its matchers are rolled back to what an answer has in
 * common with the one asked about before, so a mask costs as many steps as tokens are new. A grammar is compiled
 * for the first session that has it.
 */
export class GrammarEngine {
  readonly #grammars: CompiledGrammars<CompiledGrammar>;
  readonly #utf8: Utf8States;
  readonly #progress = new Map<string, Progress>();

  private constructor(compiler: GrammarCompiler, utf8: Utf8States) {
    this.#grammars = new CompiledGrammars(
      (grammar) => compiler.compileStructuralTag(grammar),
      IDLE_GRAMMARS_MAX,
    );
    this.#utf8 = utf8;
  }

  static async open(tokenizer: Tokenizer): Promise<GrammarEngine> {
    const control = new Set(tokenizer.specialTokens.values());
    // A token without text is one that xgrammar allows only as a stop token.
    const bytes = Array.from({ length: tokenizer.vocabSize }, (_, token) =>
      control.has(token) ? new Uint8Array(0) : tokenizer.tokenBytes(token),
    );
    const vocabulary = bytes.map(byteLevelText);
    const stops = [...tokenizer.eosTokens];
    const info = await TokenizerInfo.createTokenizerInfo(
      vocabulary,
      "byte_level",
      false,
      tokenizer.vocabSize,
      stops,
    );
    return new GrammarEngine(await GrammarCompiler.createGrammarCompiler(info, false), new Utf8States(bytes));
  }

  /** See TokenMasks. */
  async next(session: string, rule: AnswerRule, answer: readonly number[]): Promise<TokenMask> {
    const progress = await this.#progressOf(session, rule);
    const { matcher, accepted } = progress;
    let common = 0;
    while (common < accepted.length && common < answer.length && accepted[common] === answer[common])
      common++;
    if (common < accepted.length) matcher.rollBack(accepted.length - common);
    accepted.length = common;
    for (const token of answer.slice(common)) {
      if (!matcher.acceptToken(token)) {
        throw new GrammarError(`token ${token} at ${accepted.length} of the answer breaks its grammar`);
      }
      accepted.push(token);
    }
    const mask = await matcher.getNextTokenBitmask();
    const state = answer.reduce((before, token) => this.#utf8.after(before, token), 0);
    this.#utf8.narrow(mask, state);
    return mask;
  }

  release(session: string): void {
    const progress = this.#progress.get(session);
    if (progress === undefined) return;
    this.#progress.delete(session);
    progress.matcher.dispose();
    progress.grammar.release();
  }

  async #progressOf(session: string, rule: AnswerRule): Promise<Progress> {
    const key = JSON.stringify([rule.stopTokens, rule.grammar]);
    const known = this.#progress.get(session);
    if (known?.key === key) return known;
    this.release(session);
    const grammar = await this.#grammars.take(rule.grammar);
    const matcher = await matcherOf(grammar, rule.stopTokens);
    const progress = { key, grammar, matcher, accepted: [] };
    this.#progress.set(session, progress);
    for (const oldest of this.#progress.keys()) {
      if (this.#progress.size <= SESSIONS_MAX) break;
      this.release(oldest);
    }
    return progress;
  }
}

async function matcherOf(
  grammar: GrammarLease<CompiledGrammar>,
  stopTokens: readonly number[],
): Promise<GrammarMatcher> {
  try {
    return await GrammarMatcher.createGrammarMatcher(grammar.compiled, [...stopTokens]);
  } catch (error) {
    grammar.release();
    throw error;
  }
}

/** GPT-2's way to write any bytes as text: printable Latin-1 stands for itself, the rest from U+0100 on. */
const BYTE_TEXT: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(isPrintable ? byte : next++);
  });
})();

const byteLevelText = (bytes: Uint8Array): string => Array.from(bytes, (byte) => BYTE_TEXT[byte]!).join("");
