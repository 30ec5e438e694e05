import { LogitAdjustment } from "../../decoding/logit-adjustment.ts";
import type { PathCounts } from "../../decoding/path-tokens.ts";
import type { SamplingParams } from "../../decoding/sampling-params.ts";
import { GUESS_SPACE } from "./head-distribution.ts";
import type { Child } from "./tree-growth.ts";

/** Nobody can tell a greater favour from this one. */
const FAVOUR_NATS_MAX = 50;

export interface AdjustedChildren {
  readonly children: readonly Child[];
  /** How much likelier the adjustment made the children in sum, before the rest's share is taken off again. */
  readonly favour: number;
}

/**
 * Predictions that no logits gave, as bias and penalties would change them: `Sampler`'s first two steps, at
 * its temperature. Tokens that nobody named keep their share before all is brought back to a sum of 1.
 */
export function adjustedChildren(
  children: readonly Child[],
  sampling: SamplingParams,
  counts: PathCounts,
): AdjustedChildren {
  const isUntouched = sampling.logitBias.length === 0 && counts.tokens.length === 0;
  if (isUntouched || children.length === 0) return { children, favour: 1 };
  const logits = Float32Array.from(children, ({ logProb }) => logProb);
  const places = new Map(children.map(({ token }, place) => [token, place]));
  const space = { placeOf: (token: number) => places.get(token) ?? -1, ...GUESS_SPACE };
  new LogitAdjustment().apply(logits, sampling, counts, space);
  const scale = sampling.temperature === 0 ? 1 : 1 / sampling.temperature;
  const weights = children.map(({ logProb }, i) => logProb + (logits[i]! - logProb) * scale);
  const before = children.reduce((sum, { logProb }) => sum + Math.exp(logProb), 0);
  // Exponents are kept where their sums are finite.
  const max = Math.max(0, ...weights);
  const after = weights.reduce((sum, weight) => sum + Math.exp(weight - max), 0);
  const rest = Math.max(1 - before, 0) * Math.exp(-max);
  const logTotal = max + Math.log(rest + after);
  return {
    children: children.map(({ token }, i) => ({ token, logProb: Math.min(weights[i]! - logTotal, 0) })),
    favour: (after / before) * Math.exp(Math.min(max, FAVOUR_NATS_MAX)),
  };
}
