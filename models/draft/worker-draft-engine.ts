import { Worker } from "node:worker_threads";
import type { DraftCandidates, DraftContext, DraftEngine, DraftRequest } from "../draft-engine.ts";
import { DraftContextError } from "./draft-context-error.ts";
import type {
  DraftAnswer,
  DraftAnswers,
  DraftCall,
  DraftWorkerFailure,
  DraftWorkerRequest,
  DraftWorkerResponse,
  HeadEngineOptions,
} from "./draft-worker-protocol.ts";
import { NgramDraftEngine } from "./ngram-draft-engine.ts";

/** The draft model's thread ended though nobody closed it, or was asked after it was closed. */
export class DraftWorkerError extends Error {
  override readonly name = "DraftWorkerError";
}

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

interface PendingCall {
  resolve(answer: DraftAnswer): void;
  reject(error: Error): void;
}

/** A draft head whose model runs in a worker, so that this thread stays free while it computes. */
export class WorkerDraftEngine implements RunningDraftEngine {
  readonly ended: Promise<Error | undefined>;
  readonly #worker = new Worker(new URL("./draft-worker.ts", import.meta.url));
  readonly #pending = new Map<number, PendingCall>();
  #taps: readonly number[] = [];
  #nextId = 0;
  #isClosing = false;
  #failure: Error | undefined;

  private constructor() {
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.ended = promise;
    this.#worker.on("message", (response: DraftWorkerResponse) => this.#settle(response));
    this.#worker.on("error", (cause) => this.#fail(`its worker failed: ${String(cause)}`, cause));
    this.#worker.on("exit", (code) => {
      if (!this.#isClosing) this.#fail(`its worker ended with code ${code}`);
      this.#rejectPending();
      resolve(this.#failure);
    });
  }

  /**
   * Loads a compiled draft head in a worker of its own.
   * @throws when the folder holds no compiled head.
   */
  static async start(options: HeadEngineOptions): Promise<WorkerDraftEngine> {
    const engine = new WorkerDraftEngine();
    try {
      engine.#taps = await engine.#call({ kind: "open", options });
      return engine;
    } catch (error) {
      await engine.#terminate();
      throw error;
    }
  }

  get taps(): readonly number[] {
    return this.#taps;
  }

  begin(session: string, tokens: Uint32Array): Promise<void> {
    return this.#call({ kind: "begin", session, tokens });
  }

  extend(context: DraftContext): Promise<void> {
    return this.#call({ kind: "extend", context });
  }

  expand(request: DraftRequest): Promise<DraftCandidates> {
    return this.#call({ kind: "expand", request });
  }

  release(session: string): Promise<void> {
    return this.#call({ kind: "release", session });
  }

  /** Ends running expansions early, frees the model and ends the worker. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#isClosing || this.#failure) return;
    const closed = this.#call({ kind: "close" });
    this.#isClosing = true;
    await closed;
    await this.#terminate();
  }

  async #terminate(): Promise<void> {
    this.#isClosing = true;
    await this.#worker.terminate();
    this.#rejectPending();
  }

  #call<Call extends DraftCall>(call: Call): Promise<DraftAnswers[Call["kind"]]> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#isClosing) return Promise.reject(new DraftWorkerError("the draft engine was closed"));
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<DraftAnswers[Call["kind"]]>();
    this.#pending.set(id, { resolve: resolve as PendingCall["resolve"], reject });
    const request: DraftWorkerRequest = { id, call };
    this.#worker.postMessage(request);
    return promise;
  }

  #settle(response: DraftWorkerResponse): void {
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if ("failure" in response) pending?.reject(errorOf(response.failure));
    else pending?.resolve(response.answer);
  }

  #fail(reason: string, cause?: unknown): void {
    this.#failure ??= new DraftWorkerError(`the draft engine can't go on: ${reason}`, { cause });
    this.#rejectPending();
  }

  #rejectPending(): void {
    const error = this.#failure ?? new DraftWorkerError("the draft engine was closed");
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

function errorOf({ name, message, context }: DraftWorkerFailure): Error {
  if (context) return new DraftContextError(context.session, context.problem);
  const error = new Error(message);
  error.name = name;
  return error;
}
