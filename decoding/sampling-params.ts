/** Added to the logit of one token. */
export interface TokenBias {
  readonly token: number;
  readonly bias: number;
}

/**
 * What, beside the logits, decides a target token. The token at a position is a pure function of
 * (logits, these parameters, the tokens before it, the position), so every policy, split and replay gives
 * the same text. In what order they work is told at `Sampler`.
 */
export interface SamplingParams {
  /** 0 is greedy (argmax, lowest token id on ties); otherwise logits are divided by it. */
  readonly temperature: number;
  /** Nucleus mass in (0, 1]; 1 keeps every token. */
  readonly topP: number;
  /** Keep only the k most likely tokens; 0 keeps every token. */
  readonly topK: number;
  /** Least probability of a token, as a share of the likeliest one's; 0 keeps every token. */
  readonly minP: number;
  /** Divides positive logits of tokens that prompt or answer hold, and multiplies the others; 1 is off. */
  readonly repetitionPenalty: number;
  /** Taken from the logits of tokens that the answer holds; 0 is off. */
  readonly presencePenalty: number;
  /** Taken from a token's logit for each time that the answer holds it; 0 is off. */
  readonly frequencyPenalty: number;
  /** At most one entry a token; those that are no tokens of the model are ignored. */
  readonly logitBias: readonly TokenBias[];
  /** Key of the counter-based noise: an integer in 0..2^53-1. */
  readonly seed: number;
}

/** Least and greatest value of each, both included. The repetition penalty's keep every logit finite. */
export const SAMPLING_RANGES = {
  temperature: [0, 2],
  topP: [0, 1],
  minP: [0, 1],
  repetitionPenalty: [0.01, 100],
  presencePenalty: [-2, 2],
  frequencyPenalty: [-2, 2],
  bias: [-100, 100],
} as const;

/** Entries of `logitBias`: it travels with each segment zero, and to the model's thread with each draw. */
export const LOGIT_BIAS_ENTRIES_MAX = 1024;

/** Greedy, and everything else switched off: the values that count where nothing is said. */
export const GREEDY: SamplingParams = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  seed: 0,
};
