import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatSpread, type PairedTotals, ratioOfTotals, spreadOf } from "../../bench/statistics.ts";

describe("a spread", () => {
  test("has the usual quartiles of a list in any order", () => {
    expect(spreadOf([5, 1, 4, 2, 3])).toEqual({ count: 5, min: 1, lower: 2, median: 3, upper: 4, max: 5 });
    expect(spreadOf([1, 2])).toMatchObject({ lower: 1.25, median: 1.5, upper: 1.75 });
  });

  test("is shown as the median with the quartiles", () => {
    expect(formatSpread(spreadOf([1, 2, 3, 4, 5]), 1)).toBe("3.0 (2.0–4.0)");
  });
});

const prompt = (tokens: number, ms: number, baselineMs: number): PairedTotals => ({
  tokens,
  ms,
  baselineTokens: tokens,
  baselineMs,
});

const anyPrompt = fc
  .tuple(
    fc.integer({ min: 1, max: 99 }),
    fc.integer({ min: 1, max: 9999 }),
    fc.integer({ min: 1, max: 9999 }),
  )
  .map(([tokens, ms, baselineMs]) => prompt(tokens, ms, baselineMs));

describe("a ratio of totals", () => {
  test("is all tokens by all time, not the mean of ratios", () => {
    // 20 tokens in 1000 ms against 20 in 3000 ms; the prompts' own ratios are 1 and 5.
    const { ratio } = ratioOfTotals([prompt(10, 500, 500), prompt(10, 500, 2500)], 1);
    expect(ratio).toBeCloseTo(3, 10);
  });

  test("of prompts that are all alike has no width", () => {
    const alike = Array.from({ length: 6 }, () => prompt(10, 500, 1000));
    expect(ratioOfTotals(alike, 7)).toEqual({ ratio: 2, lower: 2, upper: 2 });
  });

  test("of one prompt has no interval: there is nothing to draw from", () => {
    expect(ratioOfTotals([prompt(10, 500, 1000)], 1)).toEqual({
      ratio: 2,
      lower: Number.NaN,
      upper: Number.NaN,
    });
  });

  test("has an interval within what single prompts could give; the same seed gives the same", () => {
    fc.assert(
      fc.property(fc.array(anyPrompt, { minLength: 3, maxLength: 8 }), fc.nat(), (prompts, seed) => {
        const { ratio, lower, upper } = ratioOfTotals(prompts, seed);
        expect(lower).toBeLessThanOrEqual(upper);
        const times = prompts.map(({ tokens, ms }) => ms / tokens);
        const baseTimes = prompts.map(({ tokens, baselineMs }) => baselineMs / tokens);
        const slack = 1 + 1e-9;
        expect(lower * slack).toBeGreaterThanOrEqual(Math.min(...baseTimes) / Math.max(...times));
        expect(upper).toBeLessThanOrEqual((Math.max(...baseTimes) / Math.min(...times)) * slack);
        expect(ratioOfTotals(prompts, seed)).toEqual({ ratio, lower, upper });
      }),
      { numRuns: 20 },
    );
  });

  test("has an interval that covers the truth about as often as it says", () => {
    // Prompts whose time is drawn around the baseline's: the true ratio is 1.
    let seed = 1;
    const draw = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    let covered = 0;
    for (let trial = 0; trial < 100; trial++) {
      const prompts = Array.from({ length: 20 }, () => prompt(10, 500 + 500 * draw(), 500 + 500 * draw()));
      const { lower, upper } = ratioOfTotals(prompts, trial);
      if (lower <= 1 && 1 <= upper) covered++;
    }
    expect(covered).toBeGreaterThan(80);
    expect(covered).toBeLessThan(100);
  });
});
