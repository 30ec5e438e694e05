import type { DraftCandidates, DraftContext, DraftEngine, DraftRequest } from "../draft-engine.ts";
import { SerialQueue } from "../serial-queue.ts";
import { DraftContextError } from "./draft-context-error.ts";
import { NO_CANDIDATES } from "./expansion.ts";
import type { HeadModel } from "./head-model.ts";
import { HeadSession } from "./head-session.ts";
import { SuffixText } from "./suffix-text.ts";

export interface HeadDraftOptions {
  /** Mix in what followed the same tokens earlier in the text. */
  readonly withNgrams: boolean;
}

interface Entry {
  readonly session: HeadSession;
  /** Counts what makes a running expansion stale. */
  changes: number;
}

/** Drafts with a trained head in the calling thread. */
export class HeadDraftEngine implements DraftEngine {
  readonly #model: HeadModel;
  readonly #options: HeadDraftOptions;
  readonly #sessions = new Map<string, Entry>();
  readonly #queue = new SerialQueue();

  constructor(model: HeadModel, options: HeadDraftOptions) {
    this.#model = model;
    this.#options = options;
  }

  get taps(): readonly number[] {
    return this.#model.taps;
  }

  async begin(name: string, tokens: Uint32Array): Promise<void> {
    this.#outdate(name);
    const text = this.#options.withNgrams ? new SuffixText() : undefined;
    text?.write(0, tokens);
    this.#sessions.set(name, { session: new HeadSession(name, this.#model, text), changes: 0 });
  }

  async extend(context: DraftContext): Promise<void> {
    const entry = this.#outdate(context.session);
    if (entry === undefined) throw new DraftContextError(context.session, "it was not begun");
    await this.#queue.run(() => entry.session.extend(context));
  }

  async expand(request: DraftRequest): Promise<DraftCandidates> {
    const entry = this.#sessions.get(request.session);
    if (entry === undefined) return NO_CANDIDATES;
    const { changes } = entry;
    return this.#queue.run(() => entry.session.expand(request, () => entry.changes === changes));
  }

  async release(name: string): Promise<void> {
    this.#outdate(name);
    this.#sessions.delete(name);
  }

  async close(): Promise<void> {
    for (const name of this.#sessions.keys()) this.#outdate(name);
    this.#sessions.clear();
    await this.#queue.run(() => this.#model.close());
  }

  #outdate(name: string): Entry | undefined {
    const entry = this.#sessions.get(name);
    if (entry !== undefined) entry.changes++;
    return entry;
  }
}
