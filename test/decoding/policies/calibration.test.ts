import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Calibration } from "../../../decoding/policies/calibration.ts";

const confidence = fc.double({ min: 0.001, max: 1, noNaN: true });

describe("Calibration", () => {
  test("believes the drafter as long as nothing was seen", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), confidence, (depth, p) => {
        expect(new Calibration().corrected(depth, p)).toBeCloseTo(p, 12);
      }),
    );
  });

  test("comes to the rate that was seen in the same bin, and leaves other depths alone", () => {
    fc.assert(
      fc.property(confidence, fc.integer({ min: 0, max: 100 }), (p, hitsOfHundred) => {
        const calibration = new Calibration();
        for (let round = 0; round < 4000; round++) calibration.observe(2, p, round % 100 < hitsOfHundred);
        expect(calibration.corrected(4, p)).toBeCloseTo(p, 12);
        // The prior weighs eight expected hits, so rare guesses take longer to be corrected.
        const seen = 4000 * p;
        const rate = hitsOfHundred / 100;
        expect(Math.abs(calibration.corrected(2, p) - rate)).toBeLessThan((8 / (8 + seen)) * 1.01 + 1e-9);
      }),
    );
  });

  test("never gives more than certainty", () => {
    const calibration = new Calibration();
    for (let round = 0; round < 500; round++) calibration.observe(1, 0.55, true);
    expect(calibration.corrected(1, 0.6)).toBeLessThanOrEqual(1);
    expect(calibration.corrected(1, 0.6)).toBeGreaterThan(0.95);
  });
});
