/** Most alternatives that can be told for a position: OpenAI's bound. */
export const TOP_LOGPROBS_MAX = 20;

export interface TokenLogprob {
  readonly token: number;
  /** Natural logarithm. */
  readonly logprob: number;
}

/** How likely the target held the token at one position, and what it held likeliest there. */
export interface PositionLogprobs extends TokenLogprob {
  /** The likeliest tokens, best first (lower id on ties). */
  readonly top: readonly TokenLogprob[];
}

/**
 * Log-softmax of the target's own `logits` [vocabulary] for `token` and the `topCount` likeliest tokens:
 * before bias, penalties, temperature, truncation and masks, as vLLM tells them.
 */
export function positionLogprobs(logits: Float32Array, token: number, topCount: number): PositionLogprobs {
  let max = Number.NEGATIVE_INFINITY;
  for (const logit of logits) if (logit > max) max = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - max);
  const logTotal = max + Math.log(sum);
  const at = (id: number): TokenLogprob => ({ token: id, logprob: logits[id]! - logTotal });
  return { ...at(token), top: likeliest(logits, topCount).map(at) };
}

/** Insertion into a short sorted list: `count` is small, and most logits fail the first comparison. */
function likeliest(logits: Float32Array, count: number): number[] {
  const best: number[] = [];
  if (count === 0) return best;
  for (let token = 0; token < logits.length; token++) {
    if (best.length === count && logits[token]! <= logits[best[count - 1]!]!) continue;
    let place = best.length;
    while (place > 0 && logits[best[place - 1]!]! < logits[token]!) place--;
    best.splice(place, 0, token);
    if (best.length > count) best.pop();
  }
  return best;
}
