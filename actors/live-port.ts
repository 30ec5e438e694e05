import type { SessionStats } from "./session-port.ts";

/** What the gateway tells of sessions while they run, for people who watch. Plain JSON: it goes out as it is. */
export interface LivePort {
  /**
   * Tells of the mesh at once and on change, and of each session that is opened under this name from now on,
   * until `stop`. Throws LiveLimitError when too many watch.
   */
  watch(name: string, watcher: LiveWatcher): LiveWatch;
}

export interface LiveWatcher {
  tell(event: LiveEvent): void;
  /** Nothing more is told: the gateway stops. */
  end(): void;
}

export interface LiveWatch {
  stop(): void;
}

/** Too many watch at once; the message says how many may. */
export class LiveLimitError extends Error {
  override readonly name = "LiveLimitError";
}

/** Names under which a session is watched: whoever knows one can watch, so clients make them up at random. */
export const LIVE_NAME = /^[A-Za-z0-9_-]{16,64}$/;

export type LiveEvent = MeshEvent | LiveSessionEvent;

export type LiveSessionEvent =
  | OpenedEvent
  | DraftedEvent
  | SentEvent
  | WorkedEvent
  | CommittedEvent
  | EndedEvent;

/** `mesh`: who runs where. */
export interface MeshEvent {
  readonly type: "mesh";
  readonly ready: boolean;
  readonly reason?: string;
  readonly modelId: string;
  readonly numerics: string;
  readonly actors: readonly LiveActor[];
}

export interface LiveActor {
  readonly name: string;
  readonly host: string;
  readonly pid: string;
  /** Of a stage: its place in the pipeline, from 0, and its layers, as "0-9". */
  readonly stage?: number;
  readonly layers?: string;
  /** Of a stage: milliseconds for segments of so many nodes, as it measures itself. */
  readonly costs?: readonly { readonly nodes: number; readonly ms: number }[];
}

interface OfSession {
  readonly session: string;
  /** When it was heard: milliseconds since the session was asked for. */
  readonly atMs: number;
}

/** `opened`: the gateway asks for a session. */
export interface OpenedEvent extends OfSession {
  readonly type: "opened";
  readonly promptTokens: number;
  readonly maxTokens: number;
  /** Absent for the mesh's default. */
  readonly policy?: string;
}

/** `drafted`: candidates below node `base` at `position`; see `candidatesSchema` in actors/messages.ts. */
export interface DraftedEvent extends OfSession {
  readonly type: "drafted";
  readonly generation: number;
  readonly base: number;
  readonly position: number;
  readonly parents: readonly number[];
  readonly tokens: readonly number[];
  readonly texts: readonly string[];
  /** Natural-log probability of each path below `base`. */
  readonly scores: readonly number[];
  readonly draftMs: number;
}

/** `sent`: a segment leaves for the first stage. */
export interface SentEvent extends OfSession {
  readonly type: "sent";
  readonly generation: number;
  readonly segment: number;
  /** True for a part of the prompt, whose nodes are not listed. */
  readonly prompt: boolean;
  readonly count: number;
  /** Tokens that were certain then, the prompt's included: nodes at positions below are no guesses. */
  readonly certain: number;
  readonly ids: readonly number[];
  readonly parents: readonly number[];
  readonly tokens: readonly number[];
  readonly texts: readonly string[];
  readonly positions: readonly number[];
}

/** `worked`: a stage has passed a segment on. */
export interface WorkedEvent extends OfSession {
  readonly type: "worked";
  readonly stage: number;
  readonly generation: number;
  readonly segment: number;
  /** Nodes computed: the others were dead by then. */
  readonly count: number;
  /** Time that the stage was busy with it, milliseconds. */
  readonly ms: number;
}

/** `committed`: one walk of the verifier; see `commitSchema` in actors/messages.ts. */
export interface CommittedEvent extends OfSession {
  readonly type: "committed";
  readonly generation: number;
  readonly segment: number;
  readonly position: number;
  readonly nodes: readonly number[];
  readonly tokens: readonly number[];
  readonly texts: readonly string[];
}

/** `ended`: nothing more comes of this session. */
export interface EndedEvent extends OfSession {
  readonly type: "ended";
  readonly reason: string;
  readonly message?: string;
  readonly stats?: SessionStats;
}
