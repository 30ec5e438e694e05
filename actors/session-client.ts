import { randomUUID } from "node:crypto";
import { NoRespondersError, RequestTimeoutError } from "../transport/errors.ts";
import { eventSubject, sessionSubject } from "../transport/subjects.ts";
import type { Message, Subscription, Transport } from "../transport/transport.ts";
import type { LiveFeed, WatchedSession } from "./live-feed.ts";
import {
  type CommitMessage,
  commitSchema,
  type EndMessage,
  encodeJson,
  endSchema,
  journalSchema,
  type OpenMessage,
  openReplySchema,
  type PipelineMessage,
  parseJson,
  pipelineSchema,
} from "./messages.ts";
import type { Clock } from "./runtime/clock.ts";
import {
  type PipelineStatus,
  type Session,
  type SessionCommit,
  type SessionEnd,
  SessionError,
  type SessionPort,
  type SessionRequest,
} from "./session-port.ts";

export interface SessionClientOptions {
  readonly mesh: string;
  readonly transport: Transport;
  readonly clock: Clock;
  /** Tells of sessions that have a name to watch them by; absent: of none. */
  readonly live?: LiveFeed;
}

const OPEN_TIMEOUT_MS = 5000;
/** Silence after which the journal is asked for: it shows lost commits and a lost tree manager alike. */
const QUIET_MS = 2000;
const JOURNAL_TIMEOUT_MS = 2000;
/** Journal requests without an answer, after which the session is given up. */
const UNANSWERED_MAX = 3;
/** How long a cancelled session waits for the mesh's own account of it. */
const CANCEL_MS = 1000;
/** The pipeline reports each second; after this long without a word it counts as down. */
const STATUS_STALE_MS = 3500;

/** The gateway's way into the mesh: opens sessions and hears their commits, each token once and in order. */
export class SessionClient implements SessionPort {
  readonly #options: SessionClientOptions;
  #pipeline: { message: PipelineMessage; heardAtMs: number } | undefined;
  readonly #subscription: Subscription;

  constructor(options: SessionClientOptions) {
    this.#options = options;
    this.#subscription = options.transport.subscribe(eventSubject(options.mesh, "pipeline"), (message) => {
      this.#pipeline = { message: parseJson(pipelineSchema, message), heardAtMs: options.clock.now() };
    });
  }

  close(): void {
    this.#subscription.unsubscribe();
  }

  status(): PipelineStatus {
    const heard = this.#pipeline;
    if (heard === undefined) return NO_PIPELINE;
    const { epoch: _, reason, ...pipeline } = heard.message;
    const silentMs = this.#options.clock.now() - heard.heardAtMs;
    if (silentMs > STATUS_STALE_MS) {
      const seconds = Math.round(silentMs / 1000);
      return { ...pipeline, ready: false, reason: `the pipeline has not reported for ${seconds} s` };
    }
    return reason === undefined ? pipeline : { ...pipeline, reason };
  }

  async open(request: SessionRequest): Promise<Session> {
    const { reason, ready } = this.status();
    if (!ready) throw new SessionError("not_ready", reason ?? "the pipeline is not ready yet");
    const session = new ClientSession(randomUUID().slice(0, 13), request, this.#options);
    await session.open(request);
    return session;
  }
}

const NO_PIPELINE: PipelineStatus = {
  ready: false,
  reason: "no pipeline has reported on this mesh yet",
  modelId: "",
  contextLength: 0,
  policies: [],
  stages: 0,
  numerics: "",
};

class ClientSession implements Session {
  readonly id: string;
  readonly ended: Promise<SessionEnd>;
  readonly #options: SessionClientOptions;
  readonly #promptLength: number;
  readonly #queue: SessionCommit[] = [];
  readonly #subscriptions: Subscription[] = [];
  readonly #maxTokens: number;
  readonly #stopTokens: readonly number[];
  #received = 0;
  #lastToken: number | undefined;
  #end: SessionEnd | undefined;
  /** No more commits are given out: the session has ended or was cancelled. */
  #closed = false;
  #resolveEnded: (end: SessionEnd) => void = () => {};
  #wake: (() => void) | undefined;
  #cancelTimer: () => void = () => {};
  #unanswered = 0;
  #fetching = false;
  #endHeard: EndMessage | undefined;
  #watched: WatchedSession | undefined;

  constructor(id: string, request: SessionRequest, options: SessionClientOptions) {
    this.id = id;
    this.#options = options;
    this.#promptLength = request.prompt.length;
    this.#maxTokens = request.maxTokens;
    this.#stopTokens = request.stopTokens;
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  get commits(): AsyncIterable<SessionCommit> {
    return this.#read();
  }

  async open(request: SessionRequest): Promise<void> {
    const { mesh, transport, live } = this.#options;
    this.#watched = request.live === undefined ? undefined : live?.opening(this.id, request.live, request);
    const hear = (what: "commit" | "end", handle: (message: Message) => void) =>
      this.#subscriptions.push(transport.subscribe(sessionSubject(mesh, this.id, what), handle));
    hear("commit", (message) => this.#committed(parseJson(commitSchema, message)));
    hear("end", (message) => this.#ending(parseJson(endSchema, message)));
    const open: OpenMessage = {
      prompt: [...request.prompt],
      sampling: request.sampling,
      stopTokens: [...request.stopTokens],
      maxTokens: request.maxTokens,
      policy: request.policy,
      ...(this.#watched && { reports: true }),
    };
    try {
      const options = { timeoutMs: OPEN_TIMEOUT_MS };
      const reply = await transport.request(sessionSubject(mesh, this.id, "open"), encodeJson(open), options);
      const { error } = parseJson(openReplySchema, reply);
      if (error !== undefined) throw new SessionError(error.code, error.message);
    } catch (error) {
      this.#close();
      this.#watched?.ended({ reason: "error", message: "the session was not opened" });
      if (error instanceof SessionError) throw error;
      const away = error instanceof NoRespondersError || error instanceof RequestTimeoutError;
      throw new SessionError(
        away ? "not_ready" : "failed",
        `no tree manager took the session: ${String(error)}`,
      );
    }
    this.#watch();
  }

  cancel(reason: string): void {
    if (this.#closed) return;
    const { mesh, transport } = this.#options;
    transport.publish(sessionSubject(mesh, this.id, "cancel"), encodeJson({ reason }));
    this.#closed = true;
    this.#wake?.();
    const end: SessionEnd = { reason: "cancelled", message: reason, stats: this.#ownStats() };
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.setTimer(CANCEL_MS, () => this.#finish(end));
  }

  async *#read(): AsyncGenerator<SessionCommit> {
    for (;;) {
      const commit = this.#queue.shift();
      if (commit !== undefined) yield commit;
      else if (this.#closed) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #committed(commit: CommitMessage): void {
    if (this.#closed) return;
    this.#watched?.committed(commit);
    const known = this.#promptLength + this.#received - commit.position;
    if (known < 0) {
      this.#fetchJournal();
      return;
    }
    this.#take(commit.tokens.slice(known));
    this.#watch();
  }

  #take(tokens: readonly number[]): void {
    if (tokens.length === 0) return;
    this.#received += tokens.length;
    this.#lastToken = tokens.at(-1);
    this.#queue.push({ tokens });
    this.#wake?.();
    if (this.#endHeard !== undefined) this.#ending(this.#endHeard);
  }

  /** The end is only taken once all tokens that it counts are here. */
  #ending(end: EndMessage): void {
    this.#endHeard = end;
    const isWhole = end.reason === "stop" || end.reason === "length";
    if (isWhole && !this.#closed && end.stats.completionTokens > this.#received) {
      this.#fetchJournal();
      return;
    }
    const { message, ...rest } = end;
    this.#finish(message === undefined ? rest : { ...rest, message });
  }

  #watch(): void {
    if (this.#closed) return;
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.setTimer(QUIET_MS, () => this.#fetchJournal());
  }

  #fetchJournal(): void {
    if (this.#fetching || this.#closed) return;
    this.#fetching = true;
    const { mesh, transport } = this.#options;
    transport
      .request(sessionSubject(mesh, this.id, "journal"), new Uint8Array(0), { timeoutMs: JOURNAL_TIMEOUT_MS })
      .then((reply) => {
        this.#unanswered = 0;
        if (this.#closed) return;
        const { tokens, end } = parseJson(journalSchema, reply);
        this.#take(tokens.slice(this.#received));
        if (end !== undefined) this.#ending(end);
      })
      .catch((error: unknown) => this.#noJournal(error))
      .finally(() => {
        this.#fetching = false;
        this.#watch();
      });
  }

  #noJournal(error: unknown): void {
    if (this.#closed) return;
    this.#unanswered = error instanceof NoRespondersError ? UNANSWERED_MAX : this.#unanswered + 1;
    if (this.#unanswered < UNANSWERED_MAX) return;
    const stats = this.#ownStats();
    if (this.#lastToken !== undefined && this.#stopTokens.includes(this.#lastToken)) {
      this.#finish({ reason: "stop", stats });
    } else if (this.#received >= this.#maxTokens) this.#finish({ reason: "length", stats });
    else this.#finish({ reason: "error", message: "the session's tree manager is gone", stats });
  }

  #finish(end: SessionEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#closed = true;
    this.#close();
    this.#watched?.ended(end);
    this.#resolveEnded(end);
    this.#wake?.();
  }

  #close(): void {
    this.#cancelTimer();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #ownStats() {
    const known = { promptTokens: this.#promptLength, completionTokens: this.#received };
    return { ...known, commits: 0, draftTokens: 0, acceptedTokens: 0, segments: 0, misses: 0 };
  }
}
