import type { NgramPrediction } from "./ngram-prediction.ts";
import type { Child } from "./tree-growth.ts";

/**
 * Weight of the n-gram prediction beside the draft head's, for a match of 2, 3, … tokens: what makes
 * held-out answers most likely.
 */
const NGRAM_WEIGHT = [0.35, 0.53, 0.57, 0.6, 0.62, 0.68, 0.74, 0.75, 0.77, 0.83, 0.95] as const;

/**
 * The mixture of both distributions over next tokens; what neither names stays unnamed. `favour`: how much
 * likelier bias and penalties made the n-gram's continuations.
 */
export function mixDistributions(head: readonly Child[], ngram: NgramPrediction, favour = 1): Child[] {
  if (ngram.matched === 0 || favour === 0) return [...head];
  const trust = NGRAM_WEIGHT[Math.min(ngram.matched - 2, NGRAM_WEIGHT.length - 1)]!;
  const weight = (trust * favour) / (trust * favour + 1 - trust);
  const total = ngram.children.reduce((sum, { logProb }) => sum + Math.exp(logProb), 0);
  const mixed = new Map<number, number>();
  for (const { token, logProb } of head) mixed.set(token, (1 - weight) * Math.exp(logProb));
  for (const { token, logProb } of ngram.children) {
    mixed.set(token, (mixed.get(token) ?? 0) + (weight * Math.exp(logProb)) / total);
  }
  return Array.from(mixed, ([token, probability]) => ({
    token,
    logProb: Math.min(Math.log(probability), 0),
  }));
}
