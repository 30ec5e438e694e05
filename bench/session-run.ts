import type { SessionPort } from "../actors/session-port.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";

/** One answer, measured from outside like a client would. */
export interface SessionRun {
  readonly policy: string;
  readonly tokens: readonly number[];
  readonly firstTokenMs: number;
  /** Tokens after the first commit, by the time they took; NaN when one commit held the whole answer. */
  readonly tokensPerSecond: number;
  readonly commits: number;
  readonly draftTokens: number;
  readonly acceptedTokens: number;
  readonly segments: number;
}

export interface SessionOrder {
  readonly policy: string;
  readonly prompt: Uint32Array;
  readonly sampling: SamplingParams;
  readonly maxTokens: number;
  readonly stopTokens: readonly number[];
}

/** Plays one session to its end; throws when it ends with an error. */
export async function runSession(sessions: SessionPort, order: SessionOrder): Promise<SessionRun> {
  const begun = performance.now();
  const session = await sessions.open(order);
  const tokens: number[] = [];
  let firstAt = 0;
  let firstCount = 0;
  let lastAt = 0;
  for await (const commit of session.commits) {
    lastAt = performance.now();
    if (tokens.length === 0) {
      firstAt = lastAt;
      firstCount = commit.tokens.length;
    }
    tokens.push(...commit.tokens);
  }
  const { reason, message, stats } = await session.ended;
  if (reason === "error") throw new Error(`a ${order.policy} session failed: ${message}`);
  return {
    policy: order.policy,
    tokens,
    firstTokenMs: firstAt - begun,
    tokensPerSecond: ((tokens.length - firstCount) / (lastAt - firstAt)) * 1000,
    commits: stats.commits,
    draftTokens: stats.draftTokens,
    acceptedTokens: stats.acceptedTokens,
    segments: stats.segments,
  };
}
