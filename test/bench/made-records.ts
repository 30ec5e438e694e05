import type { StageWorkMessage } from "../../actors/messages.ts";
import type { MeasuredRun } from "../../bench/result.ts";
import type { HeardCommit, SentSegment, SessionRecord } from "../../bench/session-record.ts";

/** Events of a session as a test says, with something harmless wherever it says nothing. */
export function madeWork(work: Partial<StageWorkMessage>): StageWorkMessage {
  const numbers = {
    epoch: 1,
    stage: 0,
    generation: 0,
    segment: 0,
    beginMs: 0,
    endMs: 0,
    computeMs: 0,
    bytes: 0,
  };
  return { sid: "made", nodes: [1], committed: false, ...numbers, ...work };
}

export function madeCommit(commit: Partial<HeardCommit>): HeardCommit {
  return { atMs: 0, generation: 0, segment: 0, position: 0, nodes: [0], tokens: [0], ...commit };
}

export function madeSegment(segment: Partial<SentSegment>): SentSegment {
  return {
    atMs: 0,
    generation: 0,
    sequence: 0,
    nodes: [1],
    committed: false,
    certain: 0,
    bytes: 0,
    ...segment,
  };
}

export function madeRecord(record: Partial<SessionRecord>): SessionRecord {
  return { commits: [], segments: [], work: [], draftings: [], reportsMs: [], ...record };
}

export function madeRun(run: Partial<MeasuredRun>): MeasuredRun {
  return {
    policy: "autoregressive",
    prompt: "p1",
    kind: "code",
    turn: 1,
    temperature: 0,
    repeat: 1,
    tokens: [1, 2, 3, 4, 5],
    firstTokenMs: 100,
    decodedTokens: 4,
    decodeMs: 400,
    commits: 4,
    draftNodes: 0,
    segments: 4,
    missShare: 1,
    afterMissMs: [100, 100],
    bytes: 4000,
    stages: [
      { live: 0.5, dead: 0 },
      { live: 0.25, dead: 0.25 },
    ],
    busyMs: 300,
    computeMs: 30,
    ...run,
  };
}
