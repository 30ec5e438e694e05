import type { NodeId, TokenId } from "../decoding/ids.ts";
import type { PositionLogprobs } from "../decoding/log-probs.ts";
import type { PathCounts } from "../decoding/path-tokens.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";
import type { SegmentNodes } from "../decoding/segment.ts";
import type { TokenMask } from "../decoding/token-mask.ts";

/** Milliseconds that a stage takes for a segment of n nodes, by measurement. Sorted by `nodes`. */
export type CostTable = readonly { readonly nodes: number; readonly ms: number }[];

export interface StageRun {
  readonly session: string;
  readonly nodes: SegmentNodes;
  /** [nodes, hidden] rows of the previous stage; absent at the first stage, which embeds the tokens. */
  readonly hidden?: Float32Array;
  /**
   * True for prompt chunks and replays: the nodes are a chain of tokens that are certain, so they are
   * committed as they arrive. They extend the session's committed path.
   */
  readonly committed: boolean;
}

export interface StageResult {
  /** The nodes that were live and were computed, a subset of the run's in its order; maybe none. */
  readonly nodes: SegmentNodes;
  /** [nodes, hidden] their rows for the next stage. */
  readonly hidden: Float32Array;
  /** Rows of the stage's tapped layers, one for each of `nodes`. */
  readonly taps: readonly TapRows[];
  /** Time inside the model, without queueing. */
  readonly computeMs: number;
}

/** What some requests want of a draw, beside the sampling. */
export interface DrawWishes {
  /** Alternatives to tell with the token's own log-probability; absent: neither is told. */
  readonly topLogprobs?: number;
  /** Tokens that may be drawn; absent: all. Log-probabilities are the model's own all the same. */
  readonly mask?: TokenMask;
}

export interface DrawnToken {
  readonly token: TokenId;
  readonly logprobs?: PositionLogprobs;
}

/** Rows of one tap for some nodes. */
export interface TapRows {
  /** 1-based layer. */
  readonly layer: number;
  /** [nodes] absolute positions. */
  readonly positions: Uint32Array;
  /** [nodes, hidden] */
  readonly rows: Float32Array;
}

/**
 * One stage's weights and the KV cache of every session, a row per live node. It decides itself which
 * nodes are dead: from parent links and the commits it heard, so a prune that is late or missed only
 * costs work, never correctness. Calls are served one after the other in call order.
 */
export interface StageEngine {
  run(run: StageRun): Promise<StageResult>;
  /**
   * Accepts `accepted` (a path below the committed one) and prunes every node that is not a descendant
   * of its last node through a child with token `next`. Unknown sessions and nodes already committed are
   * ignored: commits may repeat.
   */
  commit(session: string, accepted: readonly NodeId[], next: TokenId): Promise<void>;
  /**
   * Last stage only: the target's token at `position` from one hidden row [hidden] of the node before it.
   * `counts`: what `sampling` needs to know of the tokens before it.
   */
  nextToken(
    hiddenRow: Float32Array,
    sampling: SamplingParams,
    position: number,
    counts: PathCounts,
    wishes?: DrawWishes,
  ): Promise<DrawnToken>;
  /**
   * The session begins, maybe anew: what it had is gone but for the rows of `prefix`, its first tokens. Those it has
   * from now on, taken over from any session that begins with them, kept or not. Gives the number of tokens of
   * `prefix` that one has; when that is not all of them, nothing has changed.
   * @throws {KvBudgetError} when there is no room for them.
   */
  begin(session: string, prefix: Uint32Array): Promise<number>;
  /**
   * The session is over. The rows of its committed path are kept for others as long as running sessions do not need
   * the memory; those that were not used for longest go first. Unknown sessions are ignored.
   */
  keep(session: string): Promise<void>;
  /** Frees all rows of the session, kept ones too; unknown sessions are ignored. */
  release(session: string): Promise<void>;
  usage(): Promise<StageUsage>;
  close(): Promise<void>;
}

/** For memory accounting and leak tests. */
export interface StageUsage {
  /** Those that run; this and the next two do not count what is kept of others. */
  readonly sessions: number;
  readonly liveRows: number;
  readonly allocatedBytes: number;
  readonly keptSessions: number;
  readonly keptBytes: number;
}
