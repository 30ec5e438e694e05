import type { Admission } from "../decoding/live-rows.ts";

/** Keys and values of one session, one row a node. */
export interface RowCache {
  readonly allocatedBytes: number;
  /** Makes room for at least `rows` rows; those that exist keep their numbers. */
  grow(rows: number): void;
  /** Copies these rows of another session's cache to rows [0, rows.length), for which there is room. */
  copyFrom(source: this, rows: readonly number[]): void;
}

export interface StageForward {
  /** Nodes to compute, their rows in the cache and their masks. */
  readonly admission: Admission;
  /** [nodes, hidden]; absent at the first stage. */
  readonly hidden?: Float32Array;
}

export interface StageOutputs {
  /** [nodes, hidden] */
  readonly hidden: Float32Array;
  /** Per tap of the stage, in its order: [nodes, hidden]. */
  readonly taps: readonly Float32Array[];
}

/** The tensor part of a stage: what is left when sessions, rows and liveness are taken care of. */
export interface StageMath<Cache extends RowCache> {
  /** 1-based layers whose rows `forward` gives. */
  readonly taps: readonly number[];
  /** Elements of a hidden row. */
  readonly hidden: number;
  readonly bytesPerRow: number;
  createCache(): Cache;
  /** Computes the nodes over the cached rows and stores their own rows in the cache. */
  forward(run: StageForward, cache: Cache): Promise<StageOutputs>;
  /** [vocabulary] for one row [hidden]; only at the last stage. The array is valid until the next call. */
  logits(hiddenRow: Float32Array): Promise<Float32Array>;
  close(): Promise<void>;
}
