import { Worker } from "node:worker_threads";
import type { NodeId, TokenId } from "../decoding/ids.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";
import { KvBudgetError } from "./kv-cache.ts";
import type { StageEngine, StageResult, StageRun } from "./stage-engine.ts";
import type {
  StageAnswers,
  StageCall,
  StageEngineOptions,
  StageRequest,
  StageResponse,
  WorkerFailure,
} from "./worker-protocol.ts";

/** The thread of a stage ended though nobody closed it, or was asked after it was closed. */
export class StageWorkerError extends Error {
  override readonly name = "StageWorkerError";
}

interface PendingCall {
  resolve(answer: StageAnswers[keyof StageAnswers]): void;
  reject(error: Error): void;
}

/**
 * Loads a compiled stage in a worker of its own.
 * @throws when the folder holds no intact stage.
 */
export async function startStageEngine(options: StageEngineOptions): Promise<WorkerStageEngine> {
  const engine = new WorkerStageEngine();
  try {
    await engine.open(options);
    return engine;
  } catch (error) {
    await engine.terminate();
    throw error;
  }
}

/** A stage whose model runs in a worker, so that this thread stays free while it computes. */
export class WorkerStageEngine implements StageEngine {
  /** Resolves when the worker has ended: with undefined after `close`, else with the reason. */
  readonly ended: Promise<Error | undefined>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, PendingCall>();
  #nextId = 0;
  #isClosing = false;
  #failure: Error | undefined;

  /** `script` is another program than the stage's only in tests. */
  constructor(script = new URL("./stage-worker.ts", import.meta.url)) {
    this.#worker = new Worker(script);
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.ended = promise;
    this.#worker.on("message", (response: StageResponse) => this.#settle(response));
    this.#worker.on("error", (cause) => this.#fail(`its worker failed: ${String(cause)}`, cause));
    this.#worker.on("exit", (code) => {
      if (!this.#isClosing) this.#fail(`its worker ended with code ${code}`);
      this.#rejectPending(this.#failure ?? new StageWorkerError("the stage was closed"));
      resolve(this.#failure);
    });
  }

  async open(options: StageEngineOptions): Promise<void> {
    await this.#call({ kind: "open", options });
  }

  run(run: StageRun): Promise<StageResult> {
    return this.#call({ kind: "run", run });
  }

  async commit(session: string, accepted: readonly NodeId[], next: TokenId): Promise<void> {
    await this.#call({ kind: "commit", session, accepted, next });
  }

  nextToken(hiddenRow: Float32Array, sampling: SamplingParams, position: number): Promise<TokenId> {
    return this.#call({ kind: "nextToken", hiddenRow, sampling, position });
  }

  async release(session: string): Promise<void> {
    await this.#call({ kind: "release", session });
  }

  usage(): Promise<{ sessions: number; liveRows: number; allocatedBytes: number }> {
    return this.#call({ kind: "usage" });
  }

  /** Finishes the calls before it, frees the model and ends the worker. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#isClosing || this.#failure) return;
    const closed = this.#call({ kind: "close" });
    this.#isClosing = true;
    await closed;
    await this.terminate();
  }

  /** Ends the worker at once; calls that wait are rejected. */
  async terminate(): Promise<void> {
    this.#isClosing = true;
    await this.#worker.terminate();
    this.#rejectPending(this.#failure ?? new StageWorkerError("the stage was closed"));
  }

  #call<Call extends StageCall>(call: Call): Promise<StageAnswers[Call["kind"]]> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#isClosing) return Promise.reject(new StageWorkerError("the stage was closed"));
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<StageAnswers[Call["kind"]]>();
    this.#pending.set(id, { resolve: resolve as PendingCall["resolve"], reject });
    const request: StageRequest = { id, call };
    this.#worker.postMessage(request);
    return promise;
  }

  #settle(response: StageResponse): void {
    const pending = this.#pending.get(response.id);
    this.#pending.delete(response.id);
    if ("failure" in response) pending?.reject(errorOf(response.failure));
    else pending?.resolve(response.answer);
  }

  #fail(reason: string, cause?: unknown): void {
    this.#failure ??= new StageWorkerError(`the stage can't go on: ${reason}`, { cause });
    this.#rejectPending(this.#failure);
  }

  #rejectPending(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

function errorOf({ name, message, kvBytes }: WorkerFailure): Error {
  if (kvBytes) return new KvBudgetError(kvBytes.needed, kvBytes.budget);
  const error = new Error(message);
  error.name = name;
  return error;
}
