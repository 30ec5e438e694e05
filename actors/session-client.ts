import { randomUUID } from "node:crypto";
import type { PositionLogprobs } from "../decoding/log-probs.ts";
import { DisconnectedError, NoRespondersError, RequestTimeoutError } from "../transport/errors.ts";
import { drafterSubject, eventSubject, sessionSubject } from "../transport/subjects.ts";
import type { Message, Subscription, Transport } from "../transport/transport.ts";
import type { LiveFeed, WatchedSession } from "./live-feed.ts";
import {
  ATTEMPTS_MAX,
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
import { type Clock, sleep } from "./runtime/clock.ts";
import { listServices } from "./runtime/service-list.ts";
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

const OPEN_TIMEOUT_MS = 3000;
const DRAFTER_TIMEOUT_MS = 1000;
/** Silence after which the journal is asked for: it shows lost commits and a lost tree manager alike. */
const QUIET_MS = 2000;
const JOURNAL_TIMEOUT_MS = 2000;
/** Journal requests without an answer, after which the session is opened again with another tree manager. */
const UNANSWERED_MAX = 2;
/** How long a new session waits for a silent mesh, and then for a tree host; and one that has lost its tree manager for another. */
const OPEN_PATIENCE_MS = 10_000;
const REOPEN_PATIENCE_MS = 60_000;
const RETRY_MS = 250;
/** How long a cancelled session waits for the mesh's own account of it. */
const CANCEL_MS = 1000;
/** The pipeline reports each second; after this long, more than another coordinator mostly needs to follow, it counts as down. */
const STATUS_STALE_MS = 8000;

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
    const silentMs = this.#silentMs();
    if (silentMs > STATUS_STALE_MS) {
      const seconds = Math.round(silentMs / 1000);
      return { ...pipeline, ready: false, reason: `the pipeline has not reported for ${seconds} s` };
    }
    return reason === undefined ? pipeline : { ...pipeline, reason };
  }

  async serving(): Promise<PipelineStatus> {
    const { clock } = this.#options;
    const untilMs = clock.now() + OPEN_PATIENCE_MS;
    for (;;) {
      const status = this.status();
      if (status.ready) return status;
      const isSilent = this.#pipeline?.message.ready === true && this.#silentMs() > STATUS_STALE_MS;
      if (!isSilent || clock.now() >= untilMs) {
        throw new SessionError("not_ready", status.reason ?? "the pipeline is not ready yet");
      }
      await sleep(clock, RETRY_MS);
    }
  }

  #silentMs(): number {
    return this.#options.clock.now() - (this.#pipeline?.heardAtMs ?? Number.NEGATIVE_INFINITY);
  }

  async open(request: SessionRequest): Promise<Session> {
    await this.serving();
    const { drafter } = request;
    if (drafter !== undefined && drafter !== "none") await this.#requireDrafter(drafter);
    const session = new ClientSession(randomUUID().slice(0, 13), request, {
      ...this.#options,
      epoch: () => this.#pipeline?.message.epoch ?? 0,
    });
    await session.open();
    return session;
  }

  /** @throws SessionError unless the user's own drafter of that name is on the mesh. */
  async #requireDrafter(name: string): Promise<void> {
    const { mesh, transport } = this.#options;
    try {
      const asked = { timeoutMs: DRAFTER_TIMEOUT_MS };
      await transport.request(drafterSubject(mesh, name), new Uint8Array(0), asked);
    } catch (error) {
      if (!isAway(error)) throw error;
      const services = await listServices(transport).catch(() => []);
      const names = services
        .filter(({ metadata }) => metadata.mesh === mesh)
        .flatMap(({ name: actor }) => /^drafter-(.+)$/.exec(actor)?.[1] ?? []);
      const known = [...new Set(names), "none"].map((each) => `"${each}"`).join(", ");
      const what = `there is no drafter "${name}" on this mesh; there are ${known}, and its own when nothing is said`;
      throw new SessionError("invalid", what, "flowmesh.drafter");
    }
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

interface ClientSessionOptions extends SessionClientOptions {
  /** Of the newest placement that was heard of. */
  readonly epoch: () => number;
}

/** The request may yet be answered by somebody, later. */
const isAway = (error: unknown): boolean =>
  error instanceof NoRespondersError ||
  error instanceof RequestTimeoutError ||
  error instanceof DisconnectedError;

class ClientSession implements Session {
  readonly id: string;
  readonly ended: Promise<SessionEnd>;
  readonly #options: ClientSessionOptions;
  readonly #request: SessionRequest;
  readonly #promptLength: number;
  readonly #accepted: number[] = [];
  readonly #queue: SessionCommit[] = [];
  readonly #subscriptions: Subscription[] = [];
  readonly #maxTokens: number;
  readonly #stopTokens: readonly number[];
  #attempt = 0;
  /** Since when there has been no tree manager. */
  #lostSinceMs: number | undefined;
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

  constructor(id: string, request: SessionRequest, options: ClientSessionOptions) {
    this.id = id;
    this.#request = request;
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

  async open(): Promise<void> {
    const { mesh, transport, clock, live } = this.#options;
    const name = this.#request.live;
    this.#watched = name === undefined ? undefined : live?.opening(this.id, name, this.#request);
    const hear = (what: "commit" | "end", handle: (message: Message) => void) =>
      this.#subscriptions.push(transport.subscribe(sessionSubject(mesh, this.id, what), handle));
    hear("commit", (message) => this.#committed(parseJson(commitSchema, message)));
    hear("end", (message) => this.#ending(parseJson(endSchema, message)));
    const untilMs = clock.now() + OPEN_PATIENCE_MS;
    for (;;) {
      try {
        await this.#ask();
        this.#watch();
        return;
      } catch (error) {
        if (isAway(error) && clock.now() < untilMs) {
          await sleep(clock, RETRY_MS);
          this.#attempt++;
          continue;
        }
        this.#close();
        this.#watched?.ended({ reason: "error", message: "the session was not opened" });
        if (error instanceof SessionError) throw error;
        const why = `no tree manager took the session: ${String(error)}`;
        throw new SessionError(isAway(error) ? "not_ready" : "failed", why);
      }
    }
  }

  /** Asks a tree host to take the session with the tokens that are here. */
  async #ask(): Promise<void> {
    const { mesh, transport } = this.#options;
    const { prompt, sampling, stopTokens, maxTokens, policy, drafter, topLogprobs, grammar, reuse } =
      this.#request;
    const open: OpenMessage = {
      prompt: [...prompt],
      sampling,
      stopTokens: [...stopTokens],
      maxTokens,
      policy,
      drafter,
      topLogprobs,
      grammar,
      reuse,
      ...(this.#watched && { reports: true }),
      accepted: [...this.#accepted],
      epoch: this.#options.epoch(),
      attempt: this.#attempt,
    };
    const options = { timeoutMs: OPEN_TIMEOUT_MS };
    const reply = await transport.request(sessionSubject(mesh, this.id, "open"), encodeJson(open), options);
    const { error } = parseJson(openReplySchema, reply);
    if (error !== undefined) throw new SessionError(error.code, error.message);
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
    const known = this.#promptLength + this.#accepted.length - commit.position;
    if (known < 0) {
      this.#fetchJournal();
      return;
    }
    this.#take(commit.tokens.slice(known), commit.logprobs?.slice(known));
    this.#watch();
  }

  #take(tokens: readonly number[], logprobs: readonly PositionLogprobs[] | undefined): void {
    if (tokens.length === 0) return;
    this.#accepted.push(...tokens);
    this.#lostSinceMs = undefined;
    this.#queue.push(logprobs === undefined ? { tokens } : { tokens, logprobs });
    this.#wake?.();
    if (this.#endHeard !== undefined) this.#ending(this.#endHeard);
  }

  /** The end is only taken once all tokens that it counts are here. */
  #ending(end: EndMessage): void {
    // A tree manager that was thought to be gone, and does not know yet.
    if (end.attempt < this.#attempt) return;
    this.#endHeard = end;
    const isWhole = end.reason === "stop" || end.reason === "length";
    if (isWhole && !this.#closed && end.stats.completionTokens > this.#accepted.length) {
      this.#fetchJournal();
      return;
    }
    const { message, attempt: _, ...rest } = end;
    this.#finish(message === undefined ? rest : { ...rest, message });
  }

  #watch(): void {
    if (this.#closed) return;
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.setTimer(
      this.#lostSinceMs === undefined ? QUIET_MS : RETRY_MS,
      () => this.#fetchJournal(),
    );
  }

  #fetchJournal(): void {
    if (this.#fetching || this.#closed) return;
    this.#fetching = true;
    const { mesh, transport } = this.#options;
    transport
      .request(sessionSubject(mesh, this.id, "journal"), new Uint8Array(0), { timeoutMs: JOURNAL_TIMEOUT_MS })
      .then((reply) => {
        this.#unanswered = 0;
        this.#lostSinceMs = undefined;
        if (this.#closed) return;
        const { tokens, logprobs, end } = parseJson(journalSchema, reply);
        const fresh = tokens.slice(this.#accepted.length);
        this.#take(fresh, logprobs?.slice(logprobs.length - fresh.length));
        if (end !== undefined) this.#ending(end);
      })
      .catch((error: unknown) => this.#noJournal(error))
      .finally(() => {
        this.#fetching = false;
        this.#watch();
      });
  }

  async #noJournal(error: unknown): Promise<void> {
    // Without a server there is nobody to ask; commits may come when it is back.
    if (this.#closed || error instanceof DisconnectedError) return;
    this.#unanswered = error instanceof NoRespondersError ? UNANSWERED_MAX : this.#unanswered + 1;
    if (this.#unanswered < UNANSWERED_MAX) return;
    const end = this.#ownEnd();
    if (end === undefined) await this.#reopen();
    else this.#finish(end);
  }

  /** The end that the tokens themselves show, if they do. */
  #ownEnd(): SessionEnd | undefined {
    const last = this.#accepted.at(-1);
    const stats = this.#ownStats();
    if (last !== undefined && this.#stopTokens.includes(last)) return { reason: "stop", stats };
    return this.#accepted.length >= this.#maxTokens ? { reason: "length", stats } : undefined;
  }

  /** The tree manager is gone with its process: another one goes on from the tokens that are here. */
  async #reopen(): Promise<void> {
    const { clock } = this.#options;
    const sinceMs = this.#lostSinceMs ?? clock.now();
    this.#lostSinceMs = sinceMs;
    this.#attempt++;
    try {
      await this.#ask();
      this.#unanswered = 0;
    } catch (error) {
      if (clock.now() - sinceMs < REOPEN_PATIENCE_MS && this.#attempt < ATTEMPTS_MAX) return;
      const message = `the session's tree manager is gone, and no other took over: ${String(error)}`;
      this.#finish({ reason: "error", message, stats: this.#ownStats() });
    }
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
    const known = { promptTokens: this.#promptLength, completionTokens: this.#accepted.length };
    const untold = { commits: 0, draftTokens: 0, acceptedTokens: 0, segments: 0, misses: 0 };
    return { ...known, ...untold, cachedTokens: undefined };
  }
}
