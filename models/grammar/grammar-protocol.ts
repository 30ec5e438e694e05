import type { AnswerRule, TokenMask } from "../../decoding/token-mask.ts";
import type { WorkerFailure, WorkerResponse } from "../worker-calls.ts";

/** What `GrammarMasks` asks of its worker; each request gets one response with its id. */
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

export interface GrammarRequest {
  readonly id: number;
  readonly call: GrammarCall;
}

export type GrammarResponse = WorkerResponse<GrammarAnswers[keyof GrammarAnswers], WorkerFailure>;
