import {
  type PipelineStatus,
  type Session,
  type SessionCommit,
  type SessionEnd,
  SessionError,
  type SessionPort,
  type SessionRequest,
  type SessionStats,
} from "../../actors/session-port.ts";

import type { PositionLogprobs } from "../../decoding/log-probs.ts";

/** Draft nodes that each commit of the double cost. */
export const DRAFTED_PER_COMMIT = 7;

/** What the double tells of a token: any figures, as long as they show which token they belong to. */
const scriptedLogprobs = (token: number, topCount: number): PositionLogprobs => ({
  token,
  logprob: -token / 100,
  top: Array.from({ length: topCount }, (_, rank) => ({ token: 65 + rank, logprob: 0 - rank })),
});

export interface Script {
  readonly commits: readonly (readonly number[])[];
  /** What comes after the last commit; without it: `stop` after a stop token, else `length`. */
  readonly end?: "error" | "cancelled" | "never";
  readonly message?: string;
}

/** A mesh that commits what its script says, and ends as a mesh ends: by length, stop token or cancellation. */
export class ScriptedSessions implements SessionPort {
  readonly opened: ScriptedSession[] = [];
  state: PipelineStatus = {
    ready: true,
    modelId: "tiny-model",
    contextLength: 400,
    policies: ["flowspec", "autoregressive"],
    stages: 3,
    numerics: "exact",
  };
  refusal: Error | undefined;
  /** False for a mesh that never confirms a cancellation. */
  confirmsCancel = true;
  readonly #script: (request: SessionRequest) => Script;

  constructor(script: Script | ((request: SessionRequest) => Script) = { commits: [] }) {
    this.#script = typeof script === "function" ? script : () => script;
  }

  async open(request: SessionRequest): Promise<Session> {
    if (this.refusal) throw this.refusal;
    const session = new ScriptedSession(request, this.#script(request), this.confirmsCancel);
    this.opened.push(session);
    return session;
  }

  status(): PipelineStatus {
    return this.state;
  }

  async serving(): Promise<PipelineStatus> {
    const { ready, reason = "not ready" } = this.state;
    if (!ready) throw new SessionError("not_ready", reason);
    return this.state;
  }

  get last(): ScriptedSession {
    const session = this.opened.at(-1);
    if (!session) throw new Error("no session was opened");
    return session;
  }
}

export class ScriptedSession implements Session {
  readonly id = crypto.randomUUID();
  readonly cancelled = Promise.withResolvers<string>();
  readonly cancelReasons: string[] = [];
  readonly #ended = Promise.withResolvers<SessionEnd>();
  readonly #script: Script;
  readonly #confirmsCancel: boolean;
  #promptTokens: number;
  #tokens = 0;
  #commits = 0;

  readonly request: SessionRequest;
  /** That the mesh did not have to compute. */
  readonly cachedTokens: number;

  constructor(request: SessionRequest, script: Script, confirmsCancel: boolean) {
    this.request = request;
    this.cachedTokens = Math.min(3, request.prompt.length - 1);
    this.#script = script;
    this.#confirmsCancel = confirmsCancel;
    this.#promptTokens = request.prompt.length;
  }

  get ended(): Promise<SessionEnd> {
    return this.#ended.promise;
  }

  get commits(): AsyncIterable<SessionCommit> {
    return this.#play();
  }

  cancel(reason: string): void {
    this.cancelReasons.push(reason);
    this.cancelled.resolve(reason);
    if (this.#confirmsCancel) this.#end("cancelled", reason);
  }

  get stats(): SessionStats {
    return {
      promptTokens: this.#promptTokens,
      completionTokens: this.#tokens,
      commits: this.#commits,
      draftTokens: this.#commits * DRAFTED_PER_COMMIT,
      acceptedTokens: this.#tokens - this.#commits,
      segments: this.#commits * 2,
      misses: 1,
      cachedTokens: this.cachedTokens,
    };
  }

  async *#play(): AsyncGenerator<SessionCommit> {
    const { maxTokens, stopTokens, topLogprobs } = this.request;
    for (const script of this.#script.commits) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.cancelReasons.length > 0) return;
      const stop = script.findIndex((token) => stopTokens.includes(token));
      const tokens = script
        .slice(0, stop < 0 ? script.length : stop + 1)
        .slice(0, Math.max(0, maxTokens - this.#tokens));
      this.#tokens += tokens.length;
      this.#commits++;
      yield topLogprobs === undefined
        ? { tokens }
        : { tokens, logprobs: tokens.map((token) => scriptedLogprobs(token, topLogprobs)) };
      if (tokens.some((token) => stopTokens.includes(token))) return this.#end("stop");
      if (this.#tokens === maxTokens) return this.#end("length");
    }
    if (this.#script.end === "never") await this.cancelled.promise;
    else this.#end(this.#script.end ?? "length", this.#script.message);
  }

  #end(reason: SessionEnd["reason"], message?: string): void {
    this.#ended.resolve({ reason, stats: this.stats, ...(message === undefined ? {} : { message }) });
  }
}
