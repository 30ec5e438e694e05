import type { PositionLogprobs } from "../decoding/log-probs.ts";
import type { Walk } from "../decoding/segment.ts";
import { GrammarError, type TokenMask, type TokenMasks } from "../decoding/token-mask.ts";
import type { StageEngine, StageResult } from "../models/stage-engine.ts";
import type { SegmentFrame } from "../transport/frame.ts";
import type { Clock } from "./runtime/clock.ts";
import type { StageSession } from "./stage-sessions.ts";

/** What the verifier found out with one segment. */
export interface Verdict {
  /** Undefined when the walk has not moved. */
  readonly walk: Walk | undefined;
  /** One for each token of the walk, where the session asked for them. */
  readonly logprobs: readonly PositionLogprobs[] | undefined;
  /** Time that the target's tokens took. */
  readonly headMs: number;
}

export interface VerdictOptions {
  readonly engine: StageEngine;
  /** Width of the hidden rows. */
  readonly hidden: number;
  readonly masks?: TokenMasks;
  readonly clock: Clock;
}

/**
 * Walks down the session's tree with what has arrived; `result` is what the last layers gave of it.
 * @throws {GrammarError} when the session's grammar can't be followed.
 */
export async function verdictOn(
  sid: string,
  session: StageSession,
  frame: SegmentFrame,
  result: StageResult,
  { engine, hidden, masks, clock }: VerdictOptions,
): Promise<Verdict> {
  const { sampling, prefillEnd, topLogprobs } = session.spec;
  const { path } = session;
  const { nodes } = result;
  if (frame.committed) path.write(path.length, nodes.tokens);
  let headMs = 0;
  const logprobs: PositionLogprobs[] = [];
  const target = async (index: number, position: number) => {
    const row = result.hidden.slice(index * hidden, (index + 1) * hidden);
    const mask = await maskFor(sid, session, masks);
    const wishes = { ...(topLogprobs !== undefined && { topLogprobs }), ...(mask && { mask }) };
    const beginMs = clock.now();
    const drawn = await engine.nextToken(row, sampling, position, path.counts(sampling), wishes);
    headMs += clock.now() - beginMs;
    const { token } = drawn;
    if (drawn.logprobs) logprobs.push(drawn.logprobs);
    path.write(position, [token]);
    return token;
  };
  const last = nodes.ids.length - 1;
  let walk: Walk | undefined;
  if (!frame.committed) walk = await session.verification.advance(nodes, target);
  else if (nodes.positions[last] === prefillEnd) walk = await session.verification.begin(nodes, last, target);
  return { walk, headMs, logprobs: topLogprobs === undefined ? undefined : logprobs };
}

/** What may follow the session's path; undefined: anything. */
async function maskFor(
  sid: string,
  { spec, path }: StageSession,
  masks: TokenMasks | undefined,
): Promise<TokenMask | undefined> {
  const { grammar, stopTokens } = spec;
  if (grammar === undefined) return undefined;
  if (masks === undefined) throw new GrammarError("this stage makes no masks");
  return await masks.next(sid, { grammar, stopTokens }, path.answer);
}
