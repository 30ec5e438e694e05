import type { DraftSize } from "../decoding/policies/policy.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";

/** Newly verified positions of a session, in order: what the draft head's own context is made of. */
export interface DraftContext {
  readonly session: string;
  /** Absolute position of the first row. A repeat of known positions replaces them and all later ones. */
  readonly position: number;
  /** [rows] token at position+i+1: the one that follows each row (known, since it was just verified). */
  readonly nextTokens: Uint32Array;
  /** Per tap (in the head's tap order) [rows, hidden] residual rows; empty for sources without a head. */
  readonly taps: readonly Float32Array[];
}

export interface DraftRequest extends DraftSize {
  readonly session: string;
  /** Token ids from the root of the draft tree downwards; the first is the last `nextTokens` entry. */
  readonly path: readonly number[];
  readonly sampling: SamplingParams;
}

/**
 * Candidates below the path's last node. Parents come before children and the arrays are parallel.
 * `scores` are natural-log path probabilities from that node (its own score is 0), so a child's never
 * exceeds its parent's.
 */
export interface DraftCandidates {
  /** [candidates] index of the parent in these arrays; -1 for children of the path's last node. */
  readonly parents: Int32Array;
  readonly tokens: Uint32Array;
  readonly scores: Float32Array;
}

/** Draft model with its own tree KV cache. Calls are served in call order. */
export interface DraftEngine {
  /** 1-based target layers whose rows `extend` needs, in order; empty when it needs none. */
  readonly taps: readonly number[];
  /**
   * Tokens of the prompt (and, on a replay, of the answer so far): text for n-gram sources and penalties.
   * The first `promptTokens` are the prompt; all of them when it is absent.
   */
  begin(session: string, tokens: Uint32Array, promptTokens?: number): Promise<void>;
  /**
   * Right after `begin`: gives the session the context of its first `rows` positions, copied from any session, kept
   * or not, that has it of the same tokens. Gives how many of them one has; when that is not all, nothing has
   * changed. Engines without taps have no use for it.
   */
  takeOver?(session: string, rows: number): Promise<number>;
  extend(context: DraftContext): Promise<void>;
  /**
   * The candidates that `request` asks for, best first. With `onFound`, growth `best` tells those that it
   * has found after each pass (with all their ancestors), and the result holds only what was not told yet.
   * A newer `extend`, `expand` or `release` of the session ends an expansion early with what it has.
   */
  expand(request: DraftRequest, onFound?: (found: DraftCandidates) => void): Promise<DraftCandidates>;
  /**
   * The session is over: its expansion ends, and its context is kept for others while there is memory set aside for
   * that. It may still be extended. Engines without taps release it instead.
   */
  keep?(session: string): Promise<void>;
  release(session: string): Promise<void>;
  close(): Promise<void>;
}
