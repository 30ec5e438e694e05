import { decodeSegment } from "../transport/frame.ts";
import { ANY, eventSubject, stageSubject, treeSubject } from "../transport/subjects.ts";
import type { Message, Subscription, Transport } from "../transport/transport.ts";
import {
  type LiveEvent,
  LiveLimitError,
  type LivePort,
  type LiveSessionEvent,
  type LiveWatch,
  type LiveWatcher,
} from "./live-port.ts";
import { MeshCensus } from "./mesh-census.ts";
import { type CommitMessage, candidatesSchema, parseJson, stageWorkSchema } from "./messages.ts";
import type { Clock } from "./runtime/clock.ts";
import type { SessionEnd, SessionRequest } from "./session-port.ts";

/** Who watch at once, over all names. */
export const WATCHERS_MAX = 64;
/** Sessions of one name that are told of at once; later ones are not watched. */
export const WATCHED_SESSIONS_MAX = 8;
/** Of one event: a page can't show more, and some policies draft hundreds. */
const NODES_TOLD_MAX = 128;
/** Of a token's text. */
const TEXT_CHARS_MAX = 40;

export interface LiveFeedOptions {
  readonly mesh: string;
  readonly transport: Transport;
  readonly clock: Clock;
  /** Text of one token; a character cut by its end shows as U+FFFD. */
  readonly textOf: (token: number) => string;
}

/** The gateway tells it what it hears of one session anyway. */
export interface WatchedSession {
  committed(commit: CommitMessage): void;
  /** Once, also when the session could not be opened. */
  ended(end: Omit<SessionEnd, "stats"> & Partial<SessionEnd>): void;
}

/**
 * Makes events for people who watch out of what actors say to each other. It listens to a session only if
 * somebody watches its name when it is opened; without watchers it has no subscription and does nothing.
 */
export class LiveFeed implements LivePort {
  readonly #options: LiveFeedOptions;
  readonly #watchers = new Map<string, Set<LiveWatcher>>();
  readonly #sessions = new Map<string, FollowedSession>();
  #watcherCount = 0;
  #census: MeshCensus | undefined;
  /** To what stages did, of all watched sessions. */
  #work: Subscription | undefined;

  constructor(options: LiveFeedOptions) {
    this.#options = options;
  }

  watch(name: string, watcher: LiveWatcher): LiveWatch {
    if (this.#watcherCount >= WATCHERS_MAX) {
      throw new LiveLimitError(`${WATCHERS_MAX} watch already, which is the most; try again later`);
    }
    this.#watcherCount++;
    const watchers = this.#watchers.get(name) ?? new Set();
    this.#watchers.set(name, watchers.add(watcher));
    const { mesh, transport, clock } = this.#options;
    const onChange = (event: LiveEvent) => this.#tellAll(event);
    this.#census ??= new MeshCensus({ mesh, transport, clock, onChange });
    if (this.#census.mesh !== undefined) watcher.tell(this.#census.mesh);
    return {
      stop: () => {
        if (!watchers.delete(watcher)) return;
        this.#watcherCount--;
        if (watchers.size === 0) this.#watchers.delete(name);
        if (this.#watcherCount > 0) return;
        this.#census?.close();
        this.#census = undefined;
      },
    };
  }

  /** Ends all watching. */
  close(): void {
    for (const watchers of this.#watchers.values()) for (const each of watchers) each.end();
  }

  /** Before the session is asked for. Undefined, and nothing else, unless somebody watches `name`. */
  opening(sid: string, name: string, request: SessionRequest): WatchedSession | undefined {
    if (!this.#watchers.has(name)) return undefined;
    const siblings = [...this.#sessions.values()].filter((session) => session.name === name);
    if (siblings.length >= WATCHED_SESSIONS_MAX) return undefined;
    const tell = (event: LiveSessionEvent) => {
      for (const watcher of this.#watchers.get(name) ?? []) watcher.tell(event);
    };
    const session = new FollowedSession(this.#options, { sid, name, tell });
    this.#sessions.set(sid, session);
    this.#work ??= this.#hearWork();
    session.opened(request);
    return {
      committed: (commit) => session.committed(commit),
      ended: (end) => {
        session.ended(end);
        this.#sessions.delete(sid);
        if (this.#sessions.size > 0) return;
        this.#work?.unsubscribe();
        this.#work = undefined;
      },
    };
  }

  #hearWork(): Subscription {
    const { mesh, transport } = this.#options;
    return transport.subscribe(eventSubject(mesh, "work"), (message) => {
      const work = parseJson(stageWorkSchema, message);
      const { stage, generation, segment, nodes, beginMs, endMs } = work;
      const told = { stage, generation, segment, count: nodes.length, ms: round(endMs - beginMs, 2) };
      this.#sessions.get(work.sid)?.tell({ type: "worked", ...told });
    });
  }

  #tellAll(event: LiveEvent): void {
    for (const watchers of this.#watchers.values()) for (const each of watchers) each.tell(event);
  }
}

/** An event as a session makes it: whose and when is added. */
type Told<Event = LiveSessionEvent> = Event extends LiveSessionEvent
  ? Omit<Event, "session" | "atMs">
  : never;

class FollowedSession {
  readonly name: string;
  readonly #options: LiveFeedOptions;
  readonly #sid: string;
  readonly #tell: (event: LiveSessionEvent) => void;
  readonly #beganMs: number;
  readonly #subscriptions: readonly Subscription[];

  constructor(
    options: LiveFeedOptions,
    {
      sid,
      name,
      tell,
    }: { readonly sid: string; readonly name: string; readonly tell: (event: LiveSessionEvent) => void },
  ) {
    this.#options = options;
    this.name = name;
    this.#sid = sid;
    this.#tell = tell;
    const { mesh, transport, clock } = options;
    this.#beganMs = clock.now();
    // What goes to the first stage has no hidden rows yet; later stages' segments would be a thousand times larger.
    this.#subscriptions = [
      transport.subscribe(stageSubject(mesh, ANY, 0, sid), (message) => this.#sent(message)),
      transport.subscribe(treeSubject(mesh, ANY, sid), (message) => this.#drafted(message)),
    ];
  }

  tell(event: Told): void {
    const atMs = round(this.#options.clock.now() - this.#beganMs, 1);
    this.#tell({ session: this.#sid, atMs, ...event });
  }

  opened({ prompt, maxTokens, policy }: SessionRequest): void {
    const asked = policy === undefined ? {} : { policy };
    this.tell({ type: "opened", promptTokens: prompt.length, maxTokens, ...asked });
  }

  committed({ generation, segment, position, nodes, tokens }: CommitMessage): void {
    const texts = this.#texts(tokens);
    this.tell({ type: "committed", generation, segment, position, nodes, tokens, texts });
  }

  ended({ reason, message, stats }: Omit<SessionEnd, "stats"> & Partial<SessionEnd>): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.tell({ type: "ended", reason, ...(message !== undefined && { message }), ...(stats && { stats }) });
  }

  #sent(message: Message): void {
    const { generation, sequence: segment, committed: prompt, certain, nodes } = decodeSegment(message);
    const count = nodes.ids.length;
    const column = (values: Uint32Array) => (prompt ? [] : [...values.subarray(0, NODES_TOLD_MAX)]);
    const tokens = column(nodes.tokens);
    this.tell({
      type: "sent",
      ...{ generation, segment, prompt, count, certain },
      ...{ ids: column(nodes.ids), parents: column(nodes.parents), tokens, texts: this.#texts(tokens) },
      positions: column(nodes.positions),
    });
  }

  #drafted(message: Message): void {
    if (message.headers["Flow-Kind"] !== "candidates") return;
    const { generation, base, position, draftMs, ...found } = parseJson(candidatesSchema, message);
    // Parents come first, so the beginning of the list is a tree, too.
    const [parents, tokens] = [found.parents.slice(0, NODES_TOLD_MAX), found.tokens.slice(0, NODES_TOLD_MAX)];
    const scores = found.scores.slice(0, NODES_TOLD_MAX).map((score) => round(score, 3));
    const texts = this.#texts(tokens);
    const told = { generation, base, position, parents, tokens, texts, scores, draftMs: round(draftMs, 1) };
    this.tell({ type: "drafted", ...told });
  }

  #texts(tokens: readonly number[]): string[] {
    return tokens.map((token) => this.#options.textOf(token).slice(0, TEXT_CHARS_MAX));
  }
}

function round(value: number, digits: number): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}
