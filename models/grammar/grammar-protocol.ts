import type { AnswerRule, TokenMask } from "../../decoding/token-mask.ts";

/** What `GrammarMasks` asks of its worker. */
export type GrammarCall =
  | { readonly kind: "open"; readonly modelPath: string }
  | {
      readonly kind: "next";
      readonly session: string;
      readonly rule: AnswerRule;
      readonly answer: readonly number[];
    }
  | { readonly kind: "release"; readonly session: string };

export type GrammarAnswers = {
  open: undefined;
  next: TokenMask;
  release: undefined;
};
