/** How a stage computes; both are bit-stable. `fast` uses int8 activations, `precise` fp32 ones. */
export type Numerics = "fast" | "precise";

/** A contiguous layer range [first, end) of the target model, as one pipeline stage runs it. */
export interface StageSpec {
  /** 0-based pipeline index. */
  readonly index: number;
  readonly stageCount: number;
  readonly firstLayer: number;
  readonly endLayer: number;
  readonly layerCount: number;
  /**
   * 1-based layers whose output (residual stream, before the final norm) feeds the draft head and lies
   * in this stage: tap L is the output of layer index L-1.
   */
  readonly taps: readonly number[];
  readonly numerics: Numerics;
}

export const isFirstStage = (spec: StageSpec): boolean => spec.index === 0;
/** The last stage is the verifier: it also holds the final norm and the LM head. */
export const isLastStage = (spec: StageSpec): boolean => spec.index === spec.stageCount - 1;
