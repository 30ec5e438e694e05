import { PathTokens } from "../../decoding/path-tokens.ts";
import type { DraftCandidates, DraftContext, DraftEngine, DraftRequest } from "../draft-engine.ts";
import { SerialQueue } from "../serial-queue.ts";
import { DraftContextError } from "./draft-context-error.ts";
import { NO_CANDIDATES, type Tell } from "./expansion.ts";
import { HeadDistribution } from "./head-distribution.ts";
import type { HeadModel } from "./head-model.ts";
import { HeadSession } from "./head-session.ts";
import { SuffixText } from "./suffix-text.ts";

export interface HeadDraftOptions {
  /** Mix in what followed the same tokens earlier in the text. */
  readonly withNgrams: boolean;
}

interface Entry {
  readonly session: HeadSession;
  /** Each session has its own, so that one's expansion does not keep the others waiting to its end. */
  readonly queue: SerialQueue;
  /** Counts what makes a running expansion stale. */
  changes: number;
  /** The session is over, and its context is there for others. */
  isKept: boolean;
}

/** Memory for contexts of sessions that are over. */
const KEPT_BYTES_MAX = 256 * 2 ** 20;

/** Drafts with a trained head in the calling thread. */
export class HeadDraftEngine implements DraftEngine {
  readonly #model: HeadModel;
  readonly #options: HeadDraftOptions;
  readonly #distribution: HeadDistribution;
  /** Of those that are kept, the one that ended first comes first. */
  readonly #sessions = new Map<string, Entry>();
  readonly #running = new Set<Promise<unknown>>();

  constructor(model: HeadModel, options: HeadDraftOptions) {
    this.#model = model;
    this.#options = options;
    this.#distribution = new HeadDistribution(model.vocabulary);
  }

  get taps(): readonly number[] {
    return this.#model.taps;
  }

  async begin(name: string, tokens: Uint32Array, promptTokens = tokens.length): Promise<void> {
    this.#outdate(name);
    const path = new PathTokens(promptTokens);
    path.write(0, tokens);
    const text = this.#options.withNgrams ? new SuffixText() : undefined;
    text?.write(0, tokens);
    const distribution = this.#distribution;
    const session = new HeadSession({ name, model: this.#model, distribution, path, text });
    this.#sessions.set(name, { session, queue: new SerialQueue(), changes: 0, isKept: false });
  }

  async takeOver(name: string, rows: number): Promise<number> {
    const target = this.#sessions.get(name);
    if (target === undefined) throw new DraftContextError(name, "it was not begun");
    let [most, source]: [number, Entry | undefined] = [0, undefined];
    for (const entry of this.#sessions.values()) {
      const has = entry === target ? 0 : entry.session.rowsFor(target.session);
      if (has >= most) [most, source] = [has, entry];
    }
    if (most < rows || source === undefined) return most;
    target.session.copyContext(source.session, rows);
    return rows;
  }

  async keep(name: string): Promise<void> {
    const ended = this.#outdate(name);
    if (ended === undefined) return;
    this.#sessions.delete(name);
    const kept = () => [...this.#sessions].filter(([, { isKept }]) => isKept);
    // What is a beginning of this one is of no more use.
    for (const [other, { session }] of kept()) {
      if (session.isBeginningOf(ended.session)) this.#sessions.delete(other);
    }
    ended.isKept = true;
    this.#sessions.set(name, ended);
    let bytes = kept().reduce((sum, [, { session }]) => sum + session.allocatedBytes, 0);
    for (const [other, { session }] of kept()) {
      if (bytes <= KEPT_BYTES_MAX) break;
      this.#sessions.delete(other);
      bytes -= session.allocatedBytes;
    }
  }

  async extend(context: DraftContext): Promise<void> {
    const entry = this.#outdate(context.session);
    if (entry === undefined) throw new DraftContextError(context.session, "it was not begun");
    await this.#inTurn(entry, () => entry.session.extend(context));
  }

  async expand(request: DraftRequest, onFound?: Tell): Promise<DraftCandidates> {
    const entry = this.#outdate(request.session);
    if (entry === undefined) return NO_CANDIDATES;
    const { changes } = entry;
    const isCurrent = () => entry.changes === changes;
    return this.#inTurn(entry, () => entry.session.expand(request, isCurrent, onFound));
  }

  async release(name: string): Promise<void> {
    this.#outdate(name);
    this.#sessions.delete(name);
  }

  async close(): Promise<void> {
    for (const name of this.#sessions.keys()) this.#outdate(name);
    this.#sessions.clear();
    await Promise.allSettled(this.#running);
    await this.#model.close();
  }

  async #inTurn<Result>({ queue }: Entry, job: () => Promise<Result>): Promise<Result> {
    const running = queue.run(job);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  #outdate(name: string): Entry | undefined {
    const entry = this.#sessions.get(name);
    if (entry !== undefined) entry.changes++;
    return entry;
  }
}
