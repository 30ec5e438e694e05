import type { NodeId, TokenId } from "../decoding/ids.ts";
import type { PathCounts } from "../decoding/path-tokens.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";
import type { DrawWishes, StageEngine, StageRun } from "./stage-engine.ts";
import type { WorkerFailure } from "./worker-calls.ts";

export interface StageEngineOptions {
  /** Folder of a compiled stage. */
  readonly dir: string;
  /** Threads inside one operator; 1 when stages share a machine. */
  readonly threads: number;
  /** Memory for the keys and values of all sessions. */
  readonly kvBudgetBytes: number;
}

/** What `WorkerStageEngine` asks of its worker. */
export type StageCall =
  | { readonly kind: "open"; readonly options: StageEngineOptions }
  | { readonly kind: "run"; readonly run: StageRun }
  | {
      readonly kind: "commit";
      readonly session: string;
      readonly accepted: readonly NodeId[];
      readonly next: TokenId;
    }
  | {
      readonly kind: "nextToken";
      readonly hiddenRow: Float32Array;
      readonly sampling: SamplingParams;
      readonly position: number;
      readonly counts: PathCounts;
      readonly wishes: DrawWishes;
    }
  | { readonly kind: "begin"; readonly session: string; readonly prefix: Uint32Array }
  | { readonly kind: "keep"; readonly session: string }
  | { readonly kind: "release"; readonly session: string }
  | { readonly kind: "usage" }
  | { readonly kind: "close" };

type Answer<Method extends keyof StageEngine> = Awaited<ReturnType<StageEngine[Method]>>;

export type StageAnswers = {
  /** See `arithmeticName`. */
  open: string;
  run: Answer<"run">;
  commit: undefined;
  nextToken: Answer<"nextToken">;
  begin: Answer<"begin">;
  keep: undefined;
  release: undefined;
  usage: Answer<"usage">;
  close: undefined;
};

export type StageAnswer = StageAnswers[keyof StageAnswers];

export interface StageFailure extends WorkerFailure {
  /** Of a `KvBudgetError`. */
  readonly kvBytes?: { readonly needed: number; readonly budget: number };
}
