import { MATCH_TOKENS_MAX, type SuffixText } from "./suffix-text.ts";
import type { Child } from "./tree-growth.ts";

/** A longer match counts this much more than one that is a token shorter. */
const WEIGHT_PER_TOKEN = 4;

/**
 * How often the favoured continuation of a match of 2, 3, … tokens came true, where all occurrences
 * agreed: counted over 384,000 tokens of a small chat model's answers. Where they disagree, the same
 * factor times the share of a continuation holds well.
 */
const PRECISION = [0.55, 0.67, 0.73, 0.76, 0.79, 0.8, 0.83, 0.84, 0.85, 0.87, 0.96] as const;

export interface NgramPrediction {
  /** Longest match, in tokens; 0 without any. */
  readonly matched: number;
  /** Continuations, with probabilities that leave room for tokens not seen there before. */
  readonly children: readonly Child[];
}

/** What followed earlier occurrences of the end of `text` + `tail`. Cost: microseconds. */
export function predictNgram(text: SuffixText, tail: readonly number[]): NgramPrediction {
  const occurrences = text.occurrences(tail);
  const matched = occurrences.reduce((longest, occurrence) => Math.max(longest, occurrence.matched), 0);
  const weights = new Map<number, number>();
  let total = 0;
  for (const occurrence of occurrences) {
    const token = text.at(occurrence.next)!;
    const weight = WEIGHT_PER_TOKEN ** (occurrence.matched - matched);
    weights.set(token, (weights.get(token) ?? 0) + weight);
    total += weight;
  }
  const precision = PRECISION[Math.min(matched, MATCH_TOKENS_MAX) - 2]!;
  const children = Array.from(weights, ([token, weight]) => ({
    token,
    logProb: Math.log((precision * weight) / total),
  }));
  return { matched, children };
}
