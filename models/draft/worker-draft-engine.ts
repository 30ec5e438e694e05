import type { DraftCandidates, DraftContext, DraftEngine, DraftRequest } from "../draft-engine.ts";
import { WorkerCalls } from "../worker-calls.ts";
import { DraftContextError } from "./draft-context-error.ts";
import type {
  DraftAnswers,
  DraftCall,
  DraftFailure,
  DraftPart,
  HeadEngineOptions,
} from "./draft-worker-protocol.ts";
import type { Tell } from "./expansion.ts";
import { NgramDraftEngine } from "./ngram-draft-engine.ts";

/**
 * `ngram` copies from the text so far and needs no model; `head` is a trained draft head; `hybrid` mixes
 * both distributions and is the best where a head exists.
 */
export type DraftKind = "ngram" | "head" | "hybrid";

export interface DraftEngineOptions {
  readonly kind: DraftKind;
  /** Folder that `compileDraftHead` gave; needed by the kinds with a head. */
  readonly dir?: string | undefined;
  /** Threads inside one operator. */
  readonly threads: number;
}

/** A draft engine that tells when it can no longer be used. */
export interface RunningDraftEngine extends DraftEngine {
  /** Resolves when the engine has ended: with undefined after `close`, else with the reason. */
  readonly ended: Promise<Error | undefined>;
}

/**
 * Starts a draft engine; one with a head gets a worker of its own.
 * @throws when a head is wanted and the folder holds no compiled one.
 */
export async function startDraftEngine(options: DraftEngineOptions): Promise<RunningDraftEngine> {
  const { kind, dir, threads } = options;
  if (kind === "ngram") return new NgramDraftEngine();
  if (dir === undefined) throw new TypeError(`a draft engine of kind ${kind} needs a compiled draft head`);
  return WorkerDraftEngine.start({ dir, threads, withNgrams: kind === "hybrid" });
}

/** A draft head whose model runs in a worker, so that this thread stays free while it computes. */
export class WorkerDraftEngine implements RunningDraftEngine {
  readonly #calls: WorkerCalls<DraftCall, DraftAnswers, DraftFailure, DraftPart>;
  #taps: readonly number[] = [];

  private constructor() {
    this.#calls = new WorkerCalls({
      script: new URL("./draft-worker.ts", import.meta.url),
      what: "the draft engine",
      revive: ({ context }: DraftFailure) =>
        context && new DraftContextError(context.session, context.problem),
    });
  }

  /**
   * Loads a compiled draft head in a worker of its own.
   * @throws when the folder holds no compiled head.
   */
  static async start(options: HeadEngineOptions): Promise<WorkerDraftEngine> {
    const engine = new WorkerDraftEngine();
    try {
      engine.#taps = await engine.#calls.ask<"open">({ kind: "open", options });
      return engine;
    } catch (error) {
      await engine.#calls.terminate();
      throw error;
    }
  }

  get ended(): Promise<Error | undefined> {
    return this.#calls.ended;
  }

  get taps(): readonly number[] {
    return this.#taps;
  }

  begin(session: string, tokens: Uint32Array, promptTokens = tokens.length): Promise<void> {
    return this.#calls.ask<"begin">({ kind: "begin", session, tokens, promptTokens });
  }

  takeOver(session: string, rows: number): Promise<number> {
    return this.#calls.ask<"takeOver">({ kind: "takeOver", session, rows });
  }

  keep(session: string): Promise<void> {
    return this.#calls.ask<"keep">({ kind: "keep", session });
  }

  extend(context: DraftContext): Promise<void> {
    return this.#calls.ask<"extend">({ kind: "extend", context });
  }

  expand(request: DraftRequest, onFound?: Tell): Promise<DraftCandidates> {
    const tells = onFound !== undefined;
    return this.#calls.ask<"expand">({ kind: "expand", request, tells }, onFound);
  }

  release(session: string): Promise<void> {
    return this.#calls.ask<"release">({ kind: "release", session });
  }

  /** Ends running expansions early, frees the model and ends the worker. A second call does nothing. */
  close(): Promise<void> {
    return this.#calls.close({ kind: "close" });
  }
}
