import { Noise, uniformOf } from "../decoding/noise.ts";

/** Middle of the values and how far they spread: quartiles, and the extremes. */
export interface Spread {
  readonly count: number;
  readonly min: number;
  readonly lower: number;
  readonly median: number;
  readonly upper: number;
  readonly max: number;
}

/** The value below which `fraction` of the sorted values lie, by linear interpolation. */
export function quantile(sorted: readonly number[], fraction: number): number {
  const at = (sorted.length - 1) * fraction;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    min: quantile(sorted, 0),
    lower: quantile(sorted, 0.25),
    median: quantile(sorted, 0.5),
    upper: quantile(sorted, 0.75),
    max: quantile(sorted, 1),
  };
}

/** "12.3 (11.8–12.9)": the median and the quartiles. */
export function formatSpread({ median, lower, upper }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${lower.toFixed(digits)}–${upper.toFixed(digits)})`;
}

/** Ratio of two sums, and where it lies with 95 % confidence. */
export interface RatioEstimate {
  readonly ratio: number;
  readonly lower: number;
  readonly upper: number;
}

/** Tokens and time of two policies on one prompt. */
export interface PairedTotals {
  readonly tokens: number;
  readonly ms: number;
  readonly baselineTokens: number;
  readonly baselineMs: number;
}

const BOOTSTRAP_ROUNDS = 2000;

/**
 * Total tokens by total time, as a ratio to the baseline's. The interval is a percentile bootstrap over
 * whole prompts: repeats of one prompt are too much alike to count as samples of their own.
 */
export function ratioOfTotals(prompts: readonly PairedTotals[], seed: number): RatioEstimate {
  const noise = new Noise(seed);
  const ratios: number[] = [];
  for (let round = 0; round < BOOTSTRAP_ROUNDS && prompts.length > 1; round++) {
    const drawn = prompts.flatMap((_, index) => {
      const prompt = prompts[Math.floor(uniformOf(noise.bits(round, index)) * prompts.length)];
      return prompt === undefined ? [] : [prompt];
    });
    ratios.push(rateRatio(drawn));
  }
  ratios.sort((a, b) => a - b);
  return { ratio: rateRatio(prompts), lower: quantile(ratios, 0.025), upper: quantile(ratios, 0.975) };
}

function rateRatio(prompts: readonly PairedTotals[]): number {
  const sum = (read: (prompt: PairedTotals) => number) => prompts.reduce((all, one) => all + read(one), 0);
  const rate = sum(({ tokens }) => tokens) / sum(({ ms }) => ms);
  return rate / (sum(({ baselineTokens }) => baselineTokens) / sum(({ baselineMs }) => baselineMs));
}
