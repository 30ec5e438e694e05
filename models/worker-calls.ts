import { Worker } from "node:worker_threads";

/** A model's thread ended though nobody closed it, or was asked after it was closed. */
export class ModelWorkerError extends Error {
  override readonly name = "ModelWorkerError";
}

/** An error as it crosses the thread boundary, where its class is lost. */
export interface WorkerFailure {
  readonly name: string;
  readonly message: string;
}

export interface WorkerRequest<Call> {
  readonly id: number;
  readonly call: Call;
}

/** What the worker answers a request with, under its id: any number of parts, then the answer or a failure. */
export type WorkerResponse<Answer, Failure extends WorkerFailure, Part = never> =
  | { readonly id: number; readonly part: Part }
  | { readonly id: number; readonly answer: Answer }
  | { readonly id: number; readonly failure: Failure };

export interface WorkerOptions<Failure extends WorkerFailure> {
  readonly script: URL;
  /** What the worker is, in errors: "the stage". */
  readonly what: string;
  /** Makes an error of its class again; undefined for those that are nothing special. */
  readonly revive: (failure: Failure) => Error | undefined;
}

interface PendingCall<Answer, Part> {
  readonly onPart: ((part: Part) => void) | undefined;
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

type Closing = { readonly kind: "close" };

/**
 * Calls into a worker thread: each call gets one answer by its id. `Answers` gives the answer's type by the
 * call's kind, `Part` what is told before it; a call of kind `close` is the last one.
 */
export class WorkerCalls<
  Call extends { readonly kind: string },
  Answers extends Record<Call["kind"], unknown>,
  Failure extends WorkerFailure,
  Part = never,
> {
  /** Resolves when the worker has ended: with undefined after `close`, else with the reason. */
  readonly ended: Promise<Error | undefined>;
  readonly #options: WorkerOptions<Failure>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, PendingCall<Answers[Call["kind"]], Part>>();
  #nextId = 0;
  #isClosing = false;
  #failure: Error | undefined;

  constructor(options: WorkerOptions<Failure>) {
    this.#options = options;
    this.#worker = new Worker(options.script);
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.ended = promise;
    this.#worker.on("message", (response: WorkerResponse<Answers[Call["kind"]], Failure, Part>) =>
      this.#hear(response),
    );
    this.#worker.on("error", (cause) => this.#fail(`its worker failed: ${String(cause)}`, cause));
    this.#worker.on("exit", (code) => {
      if (!this.#isClosing) this.#fail(`its worker ended with code ${code}`);
      this.#rejectPending();
      resolve(this.#failure);
    });
  }

  /** `onPart` hears what the worker tells before the answer. */
  ask<Kind extends Call["kind"]>(
    call: Extract<Call, { kind: Kind }>,
    onPart?: (part: Part) => void,
  ): Promise<Answers[Kind]> {
    if (this.#failure || this.#isClosing) return Promise.reject(this.#failure ?? this.#closed());
    return this.#post(call, onPart);
  }

  /** Finishes the calls before it, asks the worker to free its model, and ends it. A second call does nothing. */
  async close(call: Call & Closing): Promise<void> {
    if (this.#isClosing || this.#failure) return;
    this.#isClosing = true;
    await this.#post(call);
    await this.terminate();
  }

  /** Ends the worker at once; calls that wait are rejected. */
  async terminate(): Promise<void> {
    this.#isClosing = true;
    await this.#worker.terminate();
    this.#rejectPending();
  }

  #post<Kind extends Call["kind"]>(call: Call, onPart?: (part: Part) => void): Promise<Answers[Kind]> {
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<Answers[Kind]>();
    this.#pending.set(id, { onPart, resolve: resolve as (answer: Answers[Call["kind"]]) => void, reject });
    const request: WorkerRequest<Call> = { id, call };
    this.#worker.postMessage(request);
    return promise;
  }

  #hear(response: WorkerResponse<Answers[Call["kind"]], Failure, Part>): void {
    const pending = this.#pending.get(response.id);
    if ("part" in response) {
      pending?.onPart?.(response.part);
      return;
    }
    this.#pending.delete(response.id);
    if ("failure" in response) pending?.reject(this.#errorOf(response.failure));
    else pending?.resolve(response.answer);
  }

  #errorOf(failure: Failure): Error {
    const special = this.#options.revive(failure);
    if (special) return special;
    const error = new Error(failure.message);
    error.name = failure.name;
    return error;
  }

  #fail(reason: string, cause?: unknown): void {
    this.#failure ??= new ModelWorkerError(`${this.#options.what} can't go on: ${reason}`, { cause });
    this.#rejectPending();
  }

  #closed(): Error {
    return new ModelWorkerError(`${this.#options.what} was closed`);
  }

  #rejectPending(): void {
    const error = this.#failure ?? this.#closed();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
