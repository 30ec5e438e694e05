import type { PipelineCosts } from "./costs.ts";

/**
 * A stage lets go of a session between two segments, and others' segments wait for the one that it computes. A chunk
 * may take it so long; each further time as long is worth that share of the whole prompt's time.
 */
const CHUNK_MS = 40;
const SHARE = 0.2;
/** Lengths within this factor of the best are as good: the longest of them is the least work, for stages that share cores. */
const ALIKE = 1.1;
/** Lengths that are tried are its multiples; kernels take rows by fours or eights. */
const STEP = 8;

/**
 * Length of the next of the chunks in which `tokens` tokens of a prompt go through the pipeline, at most `longest`: so
 * that the last one leaves the last stage soon. With k chunks of n tokens that takes (k + S − 1) · t(n): short ones
 * fill the S stages earlier, long ones cost less a token.
 */
export function chunkLength(tokens: number, longest: number, costs: PipelineCosts): number {
  const most = Math.min(tokens, longest);
  const lengths = [most];
  for (let length = STEP; length < most; length += STEP) lengths.push(length);
  const least = Math.min(...lengths.map((length) => costOf(length, tokens, costs)));
  return Math.max(...lengths.filter((length) => costOf(length, tokens, costs) <= ALIKE * least));
}

function costOf(length: number, tokens: number, costs: PipelineCosts): number {
  const chunkMs = costs.slowestMs(length);
  const throughMs = (Math.ceil(tokens / length) + costs.stageCount - 1) * chunkMs;
  return throughMs * (1 + SHARE * Math.max(0, chunkMs / CHUNK_MS - 1));
}
