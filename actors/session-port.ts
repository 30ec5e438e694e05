import type { PositionLogprobs } from "../decoding/log-probs.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";

/** Sessions at once of a tree host, those that have just ended included; the next one is told to come back later. */
export const TREE_HOST_SESSIONS_MAX = 256;

/** What the gateway needs of the mesh: it knows sessions, not models, stages or NATS. */
export interface SessionPort {
  /** Opens a session; the caller iterates `commits` to the end or calls `cancel`. Rejects with SessionError. */
  open(request: SessionRequest): Promise<Session>;
  /** What is running: for /health, /v1/models and /metrics. */
  status(): PipelineStatus;
  /**
   * The status that a request can go by. A mesh that was ready and is only silent, because another coordinator
   * takes over, is waited for a while. Rejects with SessionError `not_ready`.
   */
  serving(): Promise<PipelineStatus>;
}

export interface SessionRequest {
  readonly prompt: Uint32Array;
  readonly sampling: SamplingParams;
  /** Number of tokens after which the session ends with "length"; at least 1. */
  readonly maxTokens: number;
  /** Tokens that end the session with "stop"; they are committed, and not part of the text. */
  readonly stopTokens: readonly number[];
  /** Policy name; absent means the mesh's default. */
  readonly policy?: string;
  /** Name under which the session may be watched while it runs; see LivePort. Absent: by nobody. */
  readonly live?: string;
  /** `none`: nobody guesses, whatever the policy; else the name of a user's own; absent: the mesh's drafter does. */
  readonly drafter?: string;
  /** Alternatives to tell of each token, with its own log-probability; absent: neither is told. */
  readonly topLogprobs?: number;
  /** What the answer must fit, an xgrammar structural tag as JSON; absent: anything will do. */
  readonly grammar?: string;
  /** False: all of the prompt is computed, whatever earlier sessions had of it; for measurements. */
  readonly reuse?: boolean;
}

export interface Session {
  readonly id: string;
  /** Each verified token exactly once and in order, grouped by commit; ends after the last one. */
  readonly commits: AsyncIterable<SessionCommit>;
  /** Ends the session everywhere; harmless when it has ended. */
  cancel(reason: string): void;
  /** Resolves when `commits` has ended. */
  readonly ended: Promise<SessionEnd>;
}

export interface SessionCommit {
  /** Confirmed by one walk of the verifier. */
  readonly tokens: readonly number[];
  /** One for each of `tokens`, where the request asked for them. */
  readonly logprobs?: readonly PositionLogprobs[];
}

export interface SessionEnd {
  readonly reason: "stop" | "length" | "cancelled" | "error";
  readonly message?: string;
  readonly stats: SessionStats;
}

export interface SessionStats {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Walks that moved, i.e. commit messages. */
  readonly commits: number;
  /** Draft nodes sent into the pipeline (roots not counted). */
  readonly draftTokens: number;
  /** Of those, accepted. */
  readonly acceptedTokens: number;
  readonly segments: number;
  /** Moves of the tree's root to a node that had not been sent. */
  readonly misses: number;
  /** Tokens of the prompt that were not computed, as an earlier session began with them; undefined: the mesh did not tell. */
  readonly cachedTokens: number | undefined;
}

export interface PipelineStatus {
  readonly ready: boolean;
  /** Why not, in words for a person; absent when ready. */
  readonly reason?: string;
  readonly modelId: string;
  readonly contextLength: number;
  readonly policies: readonly string[];
  readonly stages: number;
  readonly numerics: string;
  /** Tokens of all sessions together that the stages have room for; absent while that is not known. */
  readonly kvTokens?: number | undefined;
  /** What the stages' processors make of the model; absent while not all have told. */
  readonly arithmetic?: string | undefined;
}

export type SessionErrorCode = "busy" | "not_ready" | "invalid" | "failed";

/** `busy` → 429, `not_ready` → 503, `invalid` → 400, `failed` → 500. */
export class SessionError extends Error {
  readonly code: SessionErrorCode;
  /** Request field at fault, for `invalid`. */
  readonly param: string | undefined;
  constructor(code: SessionErrorCode, message: string, param?: string) {
    super(message);
    this.name = "SessionError";
    this.code = code;
    this.param = param;
  }
}
