import type { SessionPort } from "../actors/session-port.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";
import { liveCounter, type SessionRecord, timesAfterMisses } from "./session-record.ts";

/** A stage's time while an answer was decoded, as shares of that time. */
export interface StageShare {
  /** Work on nodes that were committed in the end; a segment's time is split by its nodes. */
  readonly live: number;
  readonly dead: number;
}

/** One answer, measured from outside like a client would. */
export interface SessionRun {
  readonly tokens: readonly number[];
  readonly firstTokenMs: number;
  /** Tokens after the first commit, and the time from that commit to the last one. */
  readonly decodedTokens: number;
  readonly decodeMs: number;
  /** From here on all counts begin after the first commit, which ends the prompt. */
  readonly commits: number;
  /** Draft nodes sent, roots left out; and all segments sent. */
  readonly draftNodes: number;
  readonly segments: number;
  /** Share of the decoded tokens whose node was not in flight when its parent was verified. */
  readonly missShare: number;
  /** From each miss to the next verified token. */
  readonly afterMissMs: readonly number[];
  /** All messages between tree manager and stages that carried decoded nodes. */
  readonly bytes: number;
  readonly stages: readonly StageShare[];
  /** Time that the stages spent on segments, and how much of it the real model took. */
  readonly busyMs: number;
  readonly computeMs: number;
}

export interface SessionOrder {
  readonly policy: string;
  readonly prompt: Uint32Array;
  readonly sampling: SamplingParams;
  readonly maxTokens: number;
  readonly stopTokens: readonly number[];
}

/** What sessions are played on, and who listens meanwhile. */
export interface Bench {
  readonly sessions: SessionPort;
  readonly observer: { take(sid: string): SessionRecord };
  readonly stageCount: number;
  /** What stages may still be at when a session has ended; the next one should find them idle. */
  readonly settleMs: number;
}

/** Plays one session to its end; throws when it ends with an error. */
export async function runSession(
  bench: Bench,
  order: SessionOrder,
): Promise<{ readonly run: SessionRun; readonly record: SessionRecord }> {
  const begunMs = performance.timeOrigin + performance.now();
  const session = await bench.sessions.open({ ...order, reuse: false });
  const tokens: number[] = [];
  for await (const commit of session.commits) tokens.push(...commit.tokens);
  const { reason, message, stats } = await session.ended;
  if (reason === "error") throw new Error(`a session with policy ${order.policy} failed: ${message}`);
  await Bun.sleep(bench.settleMs);
  const record = bench.observer.take(session.id);
  const { beginMs, endMs } = decodeWindow(record);
  const decodedTokens = tokens.length - (record.commits[0]?.tokens.length ?? 0);
  const run = {
    tokens,
    firstTokenMs: beginMs - begunMs,
    decodedTokens,
    decodeMs: endMs - beginMs,
    commits: stats.commits - 1,
    draftNodes: stats.draftTokens,
    segments: record.segments.filter(({ committed }) => !committed).length,
    // Nothing waits for the last token, so it is neither hit nor miss.
    missShare: stats.misses / (decodedTokens - 1),
    afterMissMs: timesAfterMisses(record),
    bytes: bytesOf(record),
    stages: stageShares(record, bench.stageCount),
    ...realShare(record),
  };
  return { run, record };
}

/** From the first commit to the last. */
export function decodeWindow({ commits }: SessionRecord): {
  readonly beginMs: number;
  readonly endMs: number;
} {
  return { beginMs: commits[0]?.atMs ?? Number.NaN, endMs: commits.at(-1)?.atMs ?? Number.NaN };
}

function bytesOf({ segments, work }: SessionRecord): number {
  const decoding = [...segments, ...work].filter(({ committed }) => !committed);
  return decoding.reduce((sum, { bytes }) => sum + bytes, 0);
}

export function stageShares(record: SessionRecord, stageCount: number): StageShare[] {
  const { beginMs, endMs } = decodeWindow(record);
  const liveNodes = liveCounter(record);
  const shares = Array.from({ length: stageCount }, () => ({ live: 0, dead: 0 }));
  for (const work of record.work) {
    const share = shares[work.stage];
    const ms = Math.min(work.endMs, endMs) - Math.max(work.beginMs, beginMs);
    if (share === undefined || work.nodes.length === 0 || ms <= 0) continue;
    const live = liveNodes(work) / work.nodes.length;
    share.live += (live * ms) / (endMs - beginMs);
    share.dead += ((1 - live) * ms) / (endMs - beginMs);
  }
  return shares;
}

function realShare({ work }: SessionRecord): { busyMs: number; computeMs: number } {
  return {
    busyMs: work.reduce((sum, { beginMs, endMs }) => sum + endMs - beginMs, 0),
    computeMs: work.reduce((sum, { computeMs }) => sum + computeMs, 0),
  };
}
