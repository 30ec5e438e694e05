import type { Epoch } from "../decoding/ids.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";
import type { DraftCandidates, DraftEngine } from "../models/draft-engine.ts";
import { decodeFeatures } from "../transport/frame.ts";
import { ANY, draftSubject, eventSubject, sessionSubject, treeSubject } from "../transport/subjects.ts";
import type { Message } from "../transport/transport.ts";
import { addressOf } from "./address.ts";
import { DraftSession } from "./draft-session.ts";
import {
  type BeginMessage,
  beginSchema,
  type CandidatesMessage,
  type CommitMessage,
  commitSchema,
  dropMalformed,
  type EndMessage,
  type ExpandMessage,
  encodeJson,
  endSchema,
  expandSchema,
  journalSchema,
  type LessMessage,
  lastGeneration,
  type MessageKind,
  type ProgressMessage,
  parseFrame,
  parseJson,
} from "./messages.ts";
import type { Actor, ActorContext, ActorDefinition } from "./runtime/actor.ts";

const JOURNAL_TIMEOUT_MS = 1000;

export interface DrafterOptions {
  readonly mesh: string;
  readonly epoch: Epoch;
  readonly engine: DraftEngine;
  /** Of a user's own drafter, which sessions ask for; absent: the mesh's. */
  readonly name?: string;
}

/** Name of the actor. */
export const drafterActorName = (name: string | undefined): string =>
  name === undefined ? "drafter" : `drafter-${name}`;

/**
 * Owns the draft model. It follows each session's committed path by the features that the stages send
 * beside commits, and answers the tree manager's expand requests, in parts where the engine tells what it
 * has found so far. A request waits until the features of its root have come; a newer request replaces one
 * that waits or runs.
 */
export function drafterActor(options: DrafterOptions): ActorDefinition {
  return {
    name: drafterActorName(options.name),
    description: "guesses the tree of tokens below the last verified one",
    start: (context) => new Drafter(options, context),
  };
}

/** Sessions that nobody mentions for this long are forgotten: their end was lost. */
const IDLE_MS_MAX = 15 * 60_000;
const REAP_EVERY_MS = 60_000;
/** What is on its way when a session ends comes within this time. */
const LATE_ROWS_MS = 1000;

interface Entry {
  lastUsedMs: number;
  readonly rows: DraftSession;
  sampling: SamplingParams | undefined;
  wanted: ExpandMessage | undefined;
  /** The newest expansion that the engine was asked for. */
  running: ExpandMessage | undefined;
  /** The session is over: rows that are on their way still go into its context, and nothing is drafted. */
  isOver: boolean;
}

interface Asked {
  readonly entry: Entry;
  readonly sampling: SamplingParams;
}

class Drafter implements Actor {
  readonly #options: DrafterOptions;
  readonly #context: ActorContext;
  readonly #sessions = new Map<string, Entry>();
  /** Of sessions that ended lately: the last generation that is not begun again, and since when. */
  readonly #ended = new Map<string, { readonly generation: number; readonly sinceMs: number }>();

  constructor(options: DrafterOptions, context: ActorContext) {
    this.#options = options;
    this.#context = context;
    const { mesh, epoch, name } = options;
    context.listen(draftSubject(mesh, epoch, ANY, name), { lane: "normal" });
    context.listen(sessionSubject(mesh, ANY, "commit"), { lane: "normal" });
    context.listen(sessionSubject(mesh, ANY, "end"), { lane: "urgent" });
    context.transport.publish(eventSubject(mesh, "up"), encodeJson({ name: context.name, epoch }));
    this.#reapLater();
  }

  account(): { readonly sessions: number } {
    return { sessions: [...this.#sessions.values()].filter(({ isOver }) => !isOver).length };
  }

  /** The engine goes on to serve another epoch. */
  async stop(): Promise<void> {
    for (const sid of [...this.#sessions.keys(), ...this.#ended.keys()]) await this.#forget(sid);
  }

  async receive(message: Message): Promise<void> {
    const address = addressOf(message.subject);
    try {
      if (address?.to === "draft") await this.#addressed(address.sid, message);
      else if (address?.to !== "session") return;
      else if (address.verb === "end") await this.#end(address.sid, parseJson(endSchema, message));
      else await this.#committed(address.sid, parseJson(commitSchema, message));
    } catch (error) {
      dropMalformed(this.#context.log, error);
    }
  }

  async #addressed(sid: string, message: Message): Promise<void> {
    const kind = message.headers["Flow-Kind"];
    if (kind === "begin") {
      await this.#begin(sid, parseJson(beginSchema, message));
    } else if (kind === "expand") {
      const request = parseJson(expandSchema, message);
      const entry = await this.#entry(sid, request.generation);
      if (entry !== undefined) entry.wanted = request;
    } else {
      const frame = parseFrame(decodeFeatures, message);
      const entry = await this.#entry(sid, frame.generation);
      const { layer, positions, rows, width } = frame;
      if (entry?.rows.addRows(layer, positions, rows, width) === false) {
        this.#gap(sid, frame.generation, positions[0] ?? 0);
      }
    }
    await this.#follow(sid);
  }

  async #begin(
    sid: string,
    { generation, tokens, promptTokens, sampling, reused }: BeginMessage,
  ): Promise<void> {
    const { engine } = this.#options;
    const entry = await this.#entry(sid, generation);
    if (entry === undefined || entry.sampling !== undefined) return;
    await engine.begin(sid, Uint32Array.from(tokens), promptTokens);
    const isFed = engine.taps.length > 0;
    const held = isFed && reused > 0 ? ((await engine.takeOver?.(sid, reused)) ?? 0) : reused;
    if (held < reused) {
      const less: LessMessage = { generation, held };
      this.#toTree(sid, "less", less);
      return;
    }
    entry.sampling = sampling;
    if (!entry.rows.begin(tokens, isFed ? reused : 0)) this.#gap(sid, generation, reused);
  }

  #gap(sid: string, generation: number, segment: number): void {
    const progress: ProgressMessage = { generation, segment };
    this.#toTree(sid, "gap", progress);
  }

  async #committed(sid: string, commit: CommitMessage): Promise<void> {
    if (commit.epoch !== this.#options.epoch) return;
    const entry = this.#sessions.get(sid);
    if (entry?.rows.generation !== commit.generation || entry.sampling === undefined) return;
    if (entry.rows.addTokens(commit.position, commit.tokens)) await this.#follow(sid);
    else if (!entry.isOver) this.#readJournal(sid, entry);
  }

  /** A commit was lost, or came before the session's begin: its tokens are in the journal. */
  #readJournal(sid: string, entry: Entry): void {
    const { mesh } = this.#options;
    const request = this.#context.transport.request(sessionSubject(mesh, sid, "journal"), new Uint8Array(0), {
      timeoutMs: JOURNAL_TIMEOUT_MS,
    });
    request.then(
      (reply) =>
        this.#context.after(0, async () => {
          const { position, tokens } = parseJson(journalSchema, reply);
          if (this.#sessions.get(sid) !== entry) return;
          entry.rows.addTokens(position, tokens);
          await this.#follow(sid);
        }),
      () => this.#context.log.write("warn", "the session's journal can't be read", { sid }),
    );
  }

  /** The session's state in this generation; undefined when the message is of an older one. */
  async #entry(sid: string, generation: number): Promise<Entry | undefined> {
    const known = this.#sessions.get(sid);
    if (known !== undefined && known.rows.generation >= generation) {
      return known.rows.generation === generation ? known : undefined;
    }
    if ((this.#ended.get(sid)?.generation ?? -1) >= generation) return undefined;
    if (known !== undefined) await this.#options.engine.release(sid);
    const rows = new DraftSession(generation, this.#options.engine.taps);
    const entry: Entry = {
      rows,
      sampling: undefined,
      wanted: undefined,
      running: undefined,
      isOver: false,
      lastUsedMs: this.#context.clock.now(),
    };
    this.#sessions.set(sid, entry);
    return entry;
  }

  /** Feeds what is complete to the draft model, and starts the expansion that waited for it. */
  async #follow(sid: string): Promise<void> {
    const { engine } = this.#options;
    const entry = this.#sessions.get(sid);
    if (entry?.sampling === undefined) return;
    entry.lastUsedMs = this.#context.clock.now();
    try {
      for (let ready = entry.rows.take(); ready !== undefined; ready = entry.rows.take()) {
        await engine.extend({ session: sid, ...ready });
      }
    } catch (error) {
      if (!entry.isOver) throw error;
      // The engine has let go of it in the meantime.
      await this.#forget(sid);
    }
    if (entry.isOver) return;
    const { wanted } = entry;
    if (wanted === undefined || wanted.position > entry.rows.done) return;
    entry.wanted = undefined;
    if (wanted.position < entry.rows.done) return;
    // Not awaited: a commit must be able to end the expansion early.
    this.#expand(sid, wanted, { entry, sampling: entry.sampling }).catch((error: unknown) => {
      this.#context.after(0, () => {
        throw error;
      });
    });
  }

  async #expand(sid: string, request: ExpandMessage, { entry, sampling }: Asked): Promise<void> {
    const { generation, base, position, ...size } = request;
    const begun = this.#context.clock.now();
    entry.running = request;
    const tell = ({ parents, tokens, scores }: DraftCandidates, more: boolean) => {
      const found = { parents: [...parents], tokens: [...tokens], scores: [...scores] };
      const draftMs = this.#context.clock.now() - begun;
      const candidates: CandidatesMessage = { generation, base, position, ...found, more, draftMs };
      this.#toTree(sid, "candidates", candidates);
    };
    const rest = await this.#options.engine.expand({ session: sid, ...size, sampling }, (part) =>
      tell(part, true),
    );
    // One that was replaced is not the last word on its root: its successor will say that.
    tell(rest, entry.running !== request);
  }

  #toTree(sid: string, kind: MessageKind, value: unknown): void {
    const { mesh, epoch } = this.#options;
    this.#context.transport.publish(treeSubject(mesh, epoch, sid), encodeJson(value), { "Flow-Kind": kind });
  }

  #reapLater(): void {
    this.#context.after(REAP_EVERY_MS, async () => {
      const before = this.#context.clock.now() - IDLE_MS_MAX;
      for (const [sid, { lastUsedMs }] of this.#sessions) if (lastUsedMs < before) await this.#forget(sid);
      for (const [sid, { sinceMs }] of this.#ended) {
        if (sinceMs >= before) continue;
        this.#ended.delete(sid);
        // A later attempt of it may run.
        if (!this.#sessions.has(sid)) await this.#forget(sid);
      }
      this.#reapLater();
    });
  }

  /** What is still on its way must not begin the session again; a later attempt of it may. */
  async #end(sid: string, { attempt, reason }: EndMessage): Promise<void> {
    const sinceMs = this.#context.clock.now();
    this.#ended.set(sid, { generation: lastGeneration(attempt), sinceMs });
    const { engine } = this.#options;
    const entry = this.#sessions.get(sid);
    if (entry === undefined || reason === "error" || engine.keep === undefined) return this.#forget(sid);
    entry.isOver = true;
    entry.wanted = undefined;
    await engine.keep(sid);
    this.#context.after(LATE_ROWS_MS, () => {
      if (this.#sessions.get(sid) === entry) this.#sessions.delete(sid);
    });
  }

  async #forget(sid: string): Promise<void> {
    this.#sessions.delete(sid);
    await this.#options.engine.release(sid);
  }
}
