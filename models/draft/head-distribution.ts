import type { SamplingParams } from "../../decoding/sampling-params.ts";
import { topK } from "../../decoding/truncation.ts";
import type { Child } from "./expansion.ts";

/** Most likely draft tokens that are looked at; the noise of all others is never computed. */
const CANDIDATES_MAX = 128;

/**
 * A draft head's distribution as the target's sampler would shape it: tempered, then cut by top-k and
 * top-p. Gives its most likely tokens, best first, with their log-probabilities.
 * `logProbs` and `vocabulary`: [draftVocabulary].
 */
export function shapedDistribution(
  logProbs: Float32Array,
  vocabulary: Int32Array,
  { temperature, topK: k, topP }: SamplingParams,
): Child[] {
  const isGreedy = temperature === 0;
  const isCut = !isGreedy && k > 0 && k <= CANDIDATES_MAX;
  const indices = new Int32Array(Math.min(isCut ? k : CANDIDATES_MAX, logProbs.length));
  topK(logProbs, indices.length, indices);
  indices.sort((a, b) => logProbs[b]! - logProbs[a]! || a - b);
  const scale = isGreedy ? 1 : 1 / temperature;
  const tempered = Float64Array.from(indices, (index) => logProbs[index]! * scale);
  const isWhole = scale === 1 && !isCut;
  const logTotal = isWhole ? 0 : isCut ? logSum(tempered) : logSum(logProbs, scale);
  const kept = isGreedy || topP >= 1 ? indices.length : nucleusSize(tempered, logTotal, topP);
  const logKept = kept < indices.length ? logSum(tempered.subarray(0, kept)) : logTotal;
  return Array.from(indices.subarray(0, kept), (index, i) => ({
    token: vocabulary[index]!,
    logProb: Math.min(tempered[i]! - logKept, 0),
  }));
}

/** Leading entries of the descending `tempered` whose mass reaches `topP`; all of them if they don't. */
function nucleusSize(tempered: Float64Array, logTotal: number, topP: number): number {
  let mass = 0;
  for (let i = 0; i < tempered.length; i++) {
    mass += Math.exp(tempered[i]! - logTotal);
    if (mass >= topP) return i + 1;
  }
  return tempered.length;
}

function logSum(values: Float32Array | Float64Array, scale = 1): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) max = Math.max(max, values[i]!);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp((values[i]! - max) * scale);
  return max * scale + Math.log(sum);
}
