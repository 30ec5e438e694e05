import { type AnswerRule, GrammarError, type TokenMask, type TokenMasks } from "../../decoding/token-mask.ts";
import { WorkerCalls, type WorkerFailure } from "../worker-calls.ts";
import type { GrammarAnswers, GrammarCall } from "./grammar-protocol.ts";

export interface GrammarMasksOptions {
  /** GGUF file with the tokenizer. */
  readonly modelPath: string;
  /** Bound of one mask's making, the grammar's compilation included. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 60_000;

type Calls = WorkerCalls<GrammarCall, GrammarAnswers, WorkerFailure>;

/**
 * Masks by xgrammar in a worker of its own, started with the first rule: a grammar takes tenths of a second
 * to compile, and one that xgrammar does not survive ends the worker's WebAssembly and not this process.
 * After such a failure the next call has a new worker; since masks are a function of the answer, nothing
 * is lost.
 */
export class GrammarMasks implements TokenMasks {
  readonly #modelPath: string;
  readonly #timeoutMs: number;
  #calls: Promise<Calls> | undefined;

  constructor({ modelPath, timeoutMs = TIMEOUT_MS }: GrammarMasksOptions) {
    this.#modelPath = modelPath;
    this.#timeoutMs = timeoutMs;
  }

  async next(session: string, rule: AnswerRule, answer: readonly number[]): Promise<TokenMask> {
    const opening = this.#open();
    try {
      const calls = await opening;
      return await this.#inTime(calls.ask<"next">({ kind: "next", session, rule, answer }));
    } catch (error) {
      await this.#drop(opening);
      throw new GrammarError(error instanceof Error ? error.message : String(error), { cause: error });
    }
  }

  release(session: string): void {
    // A worker that has failed by now has nothing to release.
    this.#calls?.then((calls) => calls.ask<"release">({ kind: "release", session })).catch(() => {});
  }

  async close(): Promise<void> {
    const opening = this.#calls;
    if (opening !== undefined) await this.#drop(opening);
  }

  #open(): Promise<Calls> {
    this.#calls ??= startWorker(this.#modelPath);
    return this.#calls;
  }

  async #drop(opening: Promise<Calls>): Promise<void> {
    if (this.#calls === opening) this.#calls = undefined;
    const calls = await opening.catch(() => undefined);
    await calls?.terminate();
  }

  async #inTime<T>(answer: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new GrammarError(`no mask within ${this.#timeoutMs / 1000} s`)),
      this.#timeoutMs,
    );
    try {
      return await Promise.race([answer, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}

async function startWorker(modelPath: string): Promise<Calls> {
  const calls: Calls = new WorkerCalls({
    script: new URL("./grammar-worker.ts", import.meta.url),
    what: "the grammar",
    revive: () => undefined,
  });
  try {
    await calls.ask<"open">({ kind: "open", modelPath });
    return calls;
  } catch (error) {
    await calls.terminate();
    throw error;
  }
}
