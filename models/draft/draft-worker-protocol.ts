import type { DraftCandidates, DraftContext, DraftRequest } from "../draft-engine.ts";
import type { WorkerFailure } from "../worker-calls.ts";

export interface HeadEngineOptions {
  /** Folder that `compileDraftHead` gave. */
  readonly dir: string;
  /** Whether n-gram predictions are mixed in. */
  readonly withNgrams: boolean;
  /** Threads inside one operator. */
  readonly threads: number;
}

/** What `WorkerDraftEngine` asks of its worker. */
export type DraftCall =
  | { readonly kind: "open"; readonly options: HeadEngineOptions }
  | {
      readonly kind: "begin";
      readonly session: string;
      readonly tokens: Uint32Array;
      readonly promptTokens: number;
    }
  | { readonly kind: "takeOver"; readonly session: string; readonly rows: number }
  | { readonly kind: "extend"; readonly context: DraftContext }
  | { readonly kind: "expand"; readonly request: DraftRequest; readonly tells: boolean }
  | { readonly kind: "keep"; readonly session: string }
  | { readonly kind: "release"; readonly session: string }
  | { readonly kind: "close" };

export type DraftAnswers = {
  /** The head's taps. */
  open: readonly number[];
  begin: undefined;
  takeOver: number;
  extend: undefined;
  expand: DraftCandidates;
  keep: undefined;
  release: undefined;
  close: undefined;
};

export type DraftAnswer = DraftAnswers[keyof DraftAnswers];

/** Candidates found by an expansion that tells, before its answer. */
export type DraftPart = DraftCandidates;

export interface DraftFailure extends WorkerFailure {
  /** Of a `DraftContextError`. */
  readonly context?: { readonly session: string; readonly problem: string };
}
