import * as v from "valibot";
import { POLICIES } from "../../decoding/policies/registry.ts";

/** What a pipeline takes for one segment of the usual size, milliseconds. */
export interface PipelineTimes {
  /** Of the slowest stage, without its hop: how often a segment can follow another one. */
  readonly slotMs: number;
  /** Of all stages and hops, one after the other: how long a token is on its way. */
  readonly loopMs: number;
}

/** What a mesh is asked for, and what its policy makes of it: what a placement is made for. */
export interface Demand {
  /** Answered at the same time, at least 1. */
  readonly sessions: number;
  /** Of a usual segment. */
  readonly segmentNodes: number;
  /** Per token; below 1 where one segment often confirms several. */
  readonly commitsPerToken: number;
  /** Per token; each costs a session a whole loop. Not more than commits. */
  readonly missesPerToken: number;
}

/**
 * Predicted milliseconds per token of all sessions together.
 *
 * A session's token whose node was not in flight when its parent was verified, a miss, comes a loop later; each
 * other commit follows the one before by a slot of the slowest stage. (So plain decoding, all of whose tokens
 * are misses, takes a loop for each; a pipeline that is always full takes a slot.) Sessions fill each other's
 * gaps, until the slowest stage has none: each commit needs one of its slots at least.
 */
export function tokenMs({ slotMs, loopMs }: PipelineTimes, demand: Demand): number {
  const { sessions, commitsPerToken, missesPerToken } = demand;
  const aloneMs = missesPerToken * loopMs + (commitsPerToken - missesPerToken) * slotMs;
  return Math.max(commitsPerToken * slotMs, aloneMs / sessions);
}

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** `event.demand`, from the tree host while it has sessions: what they did since the last one. */
export const demandSchema = v.object({
  /** Milliseconds that this tells of. */
  spanMs: v.pipe(v.number(), v.gtValue(0)),
  /** That were being answered, at its end. */
  sessions: count,
  /** Confirmed. */
  tokens: count,
  commits: count,
  misses: count,
  /** Sent, those of prompts not counted. */
  segments: count,
  /** In those. */
  nodes: count,
});
export type DemandMessage = v.InferOutput<typeof demandSchema>;

/** Before a mesh has seen any: plain decoding. */
const PLAIN: Demand = { sessions: 1, segmentNodes: 1, commitsPerToken: 1, missesPerToken: 1 };
/** Speculation with the drafter that comes along, see docs/benchmarks.md. */
const SPECULATIVE: Demand = { sessions: 1, segmentNodes: 4, commitsPerToken: 0.8, missesPerToken: 0.45 };

/** What is seen weighs as much as what was expected after so much of it. */
const EXPECTED_TOKENS = 64;
const EXPECTED_MS = 2000;
/** What was seen so long ago weighs e times less; so a mesh that is idle comes back to what it expects. */
const MEMORY_MS = 20_000;

const SUMMED = ["ms", "sessionMs", "tokens", "commits", "misses", "segments", "nodes"] as const;

/**
 * The demand as it was seen lately; what was not seen often enough is what the mesh's default policy does to one
 * request alone, or to `sessionsLeast` of them.
 */
export class SeenDemand {
  readonly #expected: Demand;
  readonly #sessionsLeast: number;
  /** Faded sums. */
  readonly #seen = { ms: 0, sessionMs: 0, tokens: 0, commits: 0, misses: 0, segments: 0, nodes: 0 };
  #fadedAtMs = 0;

  /** @param mesh `drafts`: somebody guesses; `sessionsLeast`: requests at once that the mesh is to be ready for */
  constructor(mesh: { readonly policy: string; readonly drafts: boolean; readonly sessionsLeast: number }) {
    const name = mesh.policy.split(":")[0] ?? "";
    const speculates = mesh.drafts && name !== "autoregressive" && POLICIES.has(name);
    this.#expected = speculates ? SPECULATIVE : PLAIN;
    this.#sessionsLeast = mesh.sessionsLeast;
  }

  hear(message: DemandMessage, nowMs: number): void {
    this.#fade(nowMs);
    const { spanMs, sessions, ...counts } = message;
    const told = { ms: spanMs, sessionMs: spanMs * sessions, ...counts };
    for (const key of SUMMED) this.#seen[key] += told[key];
  }

  /** Rounded to two digits, so that it stays the same where nothing much changes. */
  at(nowMs: number): Demand {
    this.#fade(nowMs);
    const { ms, sessionMs, tokens, commits, misses, segments, nodes } = this.#seen;
    const expected = this.#expected;
    const mixed = (sum: number, weight: number, usual: number, usualWeight: number) =>
      Number(((sum + usual * usualWeight) / (weight + usualWeight)).toPrecision(2));
    const commitsPerToken = mixed(commits, tokens, expected.commitsPerToken, EXPECTED_TOKENS);
    return {
      sessions: Math.max(1, this.#sessionsLeast, mixed(sessionMs, ms, expected.sessions, EXPECTED_MS)),
      segmentNodes: Math.max(1, mixed(nodes, segments, expected.segmentNodes, EXPECTED_TOKENS)),
      commitsPerToken,
      missesPerToken: Math.min(
        commitsPerToken,
        mixed(misses, tokens, expected.missesPerToken, EXPECTED_TOKENS),
      ),
    };
  }

  #fade(nowMs: number): void {
    const share = Math.exp(-Math.max(0, nowMs - this.#fadedAtMs) / MEMORY_MS);
    this.#fadedAtMs = nowMs;
    for (const key of SUMMED) this.#seen[key] *= share;
  }
}
