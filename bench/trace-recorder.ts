import { candidatesSchema, parseJson } from "../actors/messages.ts";
import type { SessionPort } from "../actors/session-port.ts";
import { GREEDY } from "../decoding/sampling-params.ts";
import { ANY, parseTree, treeSubject } from "../transport/subjects.ts";
import type { Message, Transport } from "../transport/transport.ts";
import type { AcceptanceTrace, SessionTrace, TraceTree } from "./acceptance-trace.ts";

export interface RecordedPrompt {
  readonly id: string;
  readonly kind: string;
  readonly tokens: Uint32Array;
}

export interface RecordOptions {
  readonly mesh: string;
  readonly transport: Transport;
  readonly sessions: SessionPort;
  /** What the mesh drafts with, for the trace's header. */
  readonly drafter: string;
  readonly prompts: readonly RecordedPrompt[];
  readonly temperatures: readonly number[];
  /** Tokens an answer. */
  readonly maxTokens: number;
  readonly stopTokens: readonly number[];
  readonly onProgress?: (done: number, total: number) => void;
}

const POLICY = "survey";
/** A session whose drafter was late once is played anew; so often at most. */
const ATTEMPTS_MAX = 3;
/** Scores are written with three decimals. */
const SCORE_STEPS = 1000;
const NO_TREE: TraceTree = { parents: [], tokens: [], scores: [] };

/** The drafter was too late too often: the trace would have holes. */
export class RecordingError extends Error {
  override readonly name = "RecordingError";
}

/**
 * Plays each prompt at each temperature with policy `survey`, and writes down what the drafter guessed
 * below every token of the answers. The mesh needs a drafter. Throws RecordingError.
 */
export async function recordTraces(options: RecordOptions): Promise<AcceptanceTrace> {
  const { mesh, transport, sessions, drafter, prompts, temperatures, onProgress } = options;
  const trees = new CandidateListener();
  const subscription = transport.subscribe(treeSubject(mesh, ANY, ANY), (message) => trees.hear(message));
  try {
    await transport.flush();
    const plays = temperatures.flatMap((temperature) =>
      prompts.map((prompt, index) => ({ prompt, temperature, seed: 1 + index })),
    );
    const traces: SessionTrace[] = [];
    for (const play of plays) {
      traces.push(await recordSession(play, options, trees));
      onProgress?.(traces.length, plays.length);
    }
    const header = {
      format: "flowmesh acceptance trace 1",
      model: sessions.status().modelId,
      drafter,
      date: new Date().toISOString(),
    } as const;
    return { header, sessions: traces };
  } finally {
    subscription.unsubscribe();
  }
}

/** The trees that were heard, by session and by the position of their root. */
class CandidateListener {
  readonly #bySession = new Map<string, Map<number, TraceTree>>();

  hear(message: Message): void {
    const sid = parseTree(message.subject)?.sid;
    if (sid === undefined || message.headers["Flow-Kind"] !== "candidates") return;
    const { position, parents, tokens, scores } = parseJson(candidatesSchema, message);
    const trees = this.#bySession.get(sid) ?? new Map<number, TraceTree>();
    this.#bySession.set(sid, trees);
    // After a replay a tree comes again, and may have been cut short once.
    if (tokens.length <= (trees.get(position)?.tokens.length ?? -1)) return;
    trees.set(position, { parents, tokens, scores: scores.map(roundedScore) });
  }

  /** Forgets the session's trees and gives them. */
  take(sid: string): ReadonlyMap<number, TraceTree> {
    const trees = this.#bySession.get(sid) ?? new Map<number, TraceTree>();
    this.#bySession.delete(sid);
    return trees;
  }
}

/** A score as traces have it. */
export const roundedScore = (score: number): number => Math.round(score * SCORE_STEPS) / SCORE_STEPS;

interface Play {
  readonly prompt: RecordedPrompt;
  readonly temperature: number;
  readonly seed: number;
}

async function recordSession(
  { prompt, temperature, seed }: Play,
  { sessions, transport, maxTokens, stopTokens }: RecordOptions,
  listener: CandidateListener,
): Promise<SessionTrace> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const sampling = { ...GREEDY, temperature, seed };
    const order = { prompt: prompt.tokens, sampling, maxTokens, stopTokens, policy: POLICY };
    const session = await sessions.open({ ...order, reuse: false });
    const tokens: number[] = [];
    for await (const commit of session.commits) tokens.push(...commit.tokens);
    const { reason, message } = await session.ended;
    if (reason === "error") throw new RecordingError(`prompt ${prompt.id} failed: ${message}`);
    await transport.flush();
    const found = listener.take(session.id);
    const promptTokens = prompt.tokens.length;
    // Nothing is guessed below the last token.
    const heard = tokens.slice(0, -1).map((_, i) => found.get(promptTokens + i));
    const trees = heard.filter((tree) => tree !== undefined);
    if (trees.length < heard.length) continue;
    const { id, kind } = prompt;
    return { prompt: id, kind, temperature, promptTokens, tokens, trees: [...trees, NO_TREE] };
  }
  throw new RecordingError(
    `the drafter did not answer in time for prompt ${prompt.id}, ${ATTEMPTS_MAX} times over; ` +
      "record with a drafter, and on a machine that is not busy",
  );
}
