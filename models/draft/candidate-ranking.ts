import type { Noise } from "../../decoding/noise.ts";
import type { Child } from "./tree-growth.ts";

/** How the next token's noise is to be taken into account. */
export interface Coupling {
  readonly noise: Noise;
  /** Absolute position of the candidate tokens. */
  readonly position: number;
}

/** How far the noise is trusted to tell the target's choice. */
export interface NoiseTrust {
  /**
   * Weight of a log-probability beside the noise. Above 1, because noise lifts unlikely tokens most, and a
   * drafter that gives those the right probability on average gives most of them too much.
   */
  readonly weight: number;
  /** Most that this takes from a log-probability: of the unlikeliest tokens, all are about as doubtful. */
  readonly doubtMax: number;
  /** Of the probabilities that are left, not of the order. */
  readonly sharpness: number;
}

/** Mean of the standard Gumbel distribution: the noise of tokens that nobody named. */
const GUMBEL_MEAN = 0.577_215_664_9;
/** Least mass of the tokens that nobody named: a draft vocabulary is a part of the target's. */
const UNNAMED_MIN = 0.15;

/**
 * The `topK` best of `children`, best first (lower token id on ties).
 *
 * With a coupling, a child's worth is its log-probability as far as it is believed, plus the very Gumbel noise
 * that the target will add at that position: the target takes the argmax of such sums, so whoever leads them
 * here is the likely choice there. What that leaves of each child's probability is the softmax of the sums
 * times `sharpness`, against the mass that no child has.
 */
export function rankChildren(
  children: readonly Child[],
  topK: number,
  trust: NoiseTrust,
  coupling: Coupling | undefined,
): Child[] {
  const ranked = coupling === undefined ? [...children] : coupled(children, trust, coupling);
  ranked.sort((a, b) => b.logProb - a.logProb || a.token - b.token);
  return ranked.slice(0, topK);
}

/** What a log-probability counts for beside the noise. */
export function believed(logProb: number, { weight, doubtMax }: NoiseTrust): number {
  return Math.max(weight * logProb, logProb - doubtMax);
}

function coupled(children: readonly Child[], trust: NoiseTrust, { noise, position }: Coupling): Child[] {
  const { weight, sharpness } = trust;
  let named = 0;
  const sums = children.map(({ token, logProb }) => {
    named += Math.exp(logProb);
    return sharpness * (believed(logProb, trust) + noise.gumbel(position, token));
  });
  const rest = Math.max(1 - named, UNNAMED_MIN);
  sums.push(sharpness * (weight * Math.log(rest) + GUMBEL_MEAN));
  const max = Math.max(...sums);
  const logTotal = max + Math.log(sums.reduce((total, sum) => total + Math.exp(sum - max), 0));
  return children.map(({ token }, i) => ({ token, logProb: Math.min(sums[i]! - logTotal, 0) }));
}
