/**
 * What, beside the logits, decides a target token. The token at a position is a pure function of
 * (logits, these parameters, the position), so every policy, split and replay gives the same text.
 */
export interface SamplingParams {
  /** 0 is greedy (argmax, lowest token id on ties); otherwise logits are divided by it. Range 0..2. */
  readonly temperature: number;
  /** Nucleus mass in (0, 1]; 1 keeps every token. */
  readonly topP: number;
  /** Keep only the k most likely tokens; 0 keeps every token. */
  readonly topK: number;
  /** Key of the counter-based noise: an integer in 0..2^53-1. */
  readonly seed: number;
}

export const GREEDY: SamplingParams = { temperature: 0, topP: 1, topK: 0, seed: 0 };
