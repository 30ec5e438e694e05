import type { PositionLogprobs, TokenLogprob } from "../../decoding/log-probs.ts";

/** By the definition: all probabilities, sorted. For logits whose exponentials are finite. */
export function naiveLogprobs(logits: Float32Array, token: number, topCount: number): PositionLogprobs {
  const weights = Array.from(logits, Math.exp);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const all = weights.map((weight, id): TokenLogprob => ({ token: id, logprob: Math.log(weight / total) }));
  const ranked = [...all].sort((a, b) => logits[b.token]! - logits[a.token]! || a.token - b.token);
  return { ...all[token]!, top: ranked.slice(0, topCount) };
}

/** For comparison: the oracle sums in another order. */
export function roundedLogprobs({ token, logprob, top }: PositionLogprobs): unknown {
  const figures = (one: TokenLogprob) => [one.token, one.logprob.toFixed(6)];
  return { own: figures({ token, logprob }), top: top.map(figures) };
}
