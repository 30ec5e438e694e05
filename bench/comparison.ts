import type { MeasuredRun } from "./result.ts";
import { type PairedTotals, type RatioEstimate, ratioOfTotals, type Spread, spreadOf } from "./statistics.ts";

export interface Comparison {
  /** Of the ratios of tokens/s, each answer to the baseline's answer to the same question in the same repeat. */
  readonly paired: Spread;
  readonly total: RatioEstimate;
}

/** NaN when one commit held the whole answer. */
export const tokensPerSecond = ({ decodedTokens, decodeMs }: MeasuredRun): number =>
  (decodedTokens / decodeMs) * 1000;

/** Compares runs of one policy with the baseline's; both at one temperature in one scenario. */
export function compare(
  runs: readonly MeasuredRun[],
  baseline: readonly MeasuredRun[],
  seed: number,
): Comparison {
  const key = ({ prompt, turn, repeat }: MeasuredRun) => JSON.stringify([prompt, turn, repeat]);
  const partners = new Map(baseline.map((run) => [key(run), run]));
  const pairs = runs.flatMap((run) => {
    const partner = partners.get(key(run));
    return partner === undefined || !isTimed(run) || !isTimed(partner) ? [] : [{ run, partner }];
  });
  const byPrompt = Map.groupBy(pairs, ({ run }) => run.prompt);
  const totals = [...byPrompt.values()].map((own): PairedTotals => {
    const sum = (read: (pair: (typeof own)[number]) => number) =>
      own.reduce((all, pair) => all + read(pair), 0);
    return {
      tokens: sum(({ run }) => run.decodedTokens),
      ms: sum(({ run }) => run.decodeMs),
      baselineTokens: sum(({ partner }) => partner.decodedTokens),
      baselineMs: sum(({ partner }) => partner.decodeMs),
    };
  });
  const ratios = pairs.map(({ run, partner }) => tokensPerSecond(run) / tokensPerSecond(partner));
  return { paired: spreadOf(ratios), total: ratioOfTotals(totals, seed) };
}

const isTimed = ({ decodedTokens }: MeasuredRun): boolean => decodedTokens > 0;
