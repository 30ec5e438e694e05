/** Rows for one pass of a draft head's decoder layers. */
export interface HeadPass {
  /** [n, hidden] fused taps, or own output of the drafted parent. */
  readonly features: Float32Array;
  /** [n] token after each position. */
  readonly tokens: Uint32Array;
  /** [n] */
  readonly positions: Uint32Array;
  /** [n, cache capacity] 0 where a row sees a cached one, else MASKED. */
  readonly pastMask: Float32Array;
  /** [n, n] the same between the rows of the pass. */
  readonly newMask: Float32Array;
  /** Rows whose next-token distribution is wanted, by index; at least one. */
  readonly wanted: Uint32Array;
}

export interface HeadOutputs {
  /** [n, hidden] features to draft on with. */
  readonly drafted: Float32Array;
  /** For each layer [2, kvHeads, n, headDim]: keys, then values. */
  readonly keysAndValues: readonly Float32Array[];
  /** [wanted, draftVocabulary] natural logarithms; each row sums to 1. */
  readonly logProbs: Float32Array;
}

/** One layer's cached keys and values, each [kvHeads, capacity, headDim]. */
export interface HeadLayerCache {
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** Rows that no mask shows may hold anything finite. */
export interface HeadCache {
  readonly capacity: number;
  readonly layers: readonly HeadLayerCache[];
}

/** A draft head's arithmetic, without any state. */
export interface HeadModel {
  /** 1-based layers of the target, in the order in which `fuse` wants them. */
  readonly taps: readonly number[];
  readonly hidden: number;
  /** Decoder layers, each with keys and values of its own. */
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** [draftVocabulary] token ids of the target. */
  readonly vocabulary: Int32Array;
  /** Tap rows, per tap [rows, hidden], to features [rows, hidden]. */
  fuse(taps: readonly Float32Array[]): Promise<Float32Array>;
  forward(pass: HeadPass, cache: HeadCache): Promise<HeadOutputs>;
  close(): Promise<void>;
}
