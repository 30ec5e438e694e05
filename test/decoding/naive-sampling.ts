import { gumbelOf, uniformBits } from "../../decoding/noise.ts";
import type { SamplingParams } from "../../decoding/sampling-params.ts";

/** The tokens before a draw. */
export interface Path {
  readonly prompt: readonly number[];
  readonly answer: readonly number[];
}

export const NO_PATH: Path = { prompt: [], answer: [] };

/** Bias and penalties as their definitions say, token by token, each of both steps rounded to fp32. */
function adjusted(logits: Float32Array, params: SamplingParams, { prompt, answer }: Path): number[] {
  return Array.from(logits, (logit, token) => {
    const bias = params.logitBias.find((entry) => entry.token === token)?.bias ?? 0;
    const biased = Math.fround(logit + bias);
    const count = answer.filter((one) => one === token).length;
    if (count === 0 && !prompt.includes(token)) return biased;
    const repeated = biased > 0 ? biased / params.repetitionPenalty : biased * params.repetitionPenalty;
    const present = count > 0 ? params.presencePenalty : 0;
    return Math.fround(repeated - count * params.frequencyPenalty - present);
  });
}

/** Kept tokens and their probabilities, by full sorts and sums. At temperature 0, one token with all of it. */
export function exactDistribution(
  raw: Float32Array,
  params: SamplingParams,
  path: Path = NO_PATH,
): Map<number, number> {
  const logits = adjusted(raw, params, path);
  const ranked = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (params.temperature === 0) return new Map([[ranked[0]!, 1]]);
  const max = logits[ranked[0]!]!;
  const weight = (token: number) => Math.exp((logits[token]! - max) / params.temperature);
  let kept = params.topK > 0 ? ranked.slice(0, params.topK) : ranked;
  const total = kept.reduce((sum, token) => sum + weight(token), 0);
  if (params.topP < 1) {
    let mass = 0;
    const end = kept.findIndex((token) => {
      mass += weight(token);
      return mass >= params.topP * total;
    });
    kept = kept.slice(0, end + 1);
  }
  kept = kept.filter((token) => weight(token) >= params.minP);
  const keptTotal = kept.reduce((sum, token) => sum + weight(token), 0);
  return new Map(kept.map((token) => [token, weight(token) / keptTotal]));
}

/** The Gumbel-max draw over that distribution, at `position`. */
export function naiveSample(
  raw: Float32Array,
  params: SamplingParams,
  position: number,
  path: Path = NO_PATH,
): number {
  const kept = [...exactDistribution(raw, params, path).keys()].sort((a, b) => a - b);
  if (params.temperature === 0) return kept[0]!;
  const logits = adjusted(raw, params, path);
  let best = { token: -1, score: Number.NEGATIVE_INFINITY };
  for (const token of kept) {
    const noise = gumbelOf(uniformBits(params.seed, position, token));
    const score = logits[token]! / params.temperature + noise;
    if (score > best.score) best = { token, score };
  }
  return best.token;
}
