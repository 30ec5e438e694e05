import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { cutLengths } from "../../../decoding/policies/cutting.ts";

describe("cutLengths", () => {
  test("cuts the reference's tree of 81 nodes for five ranks as the reference does", () => {
    expect(cutLengths(81, 5, 16)).toEqual([16, 16, 16, 16, 17]);
    expect(cutLengths(100, 5, 16)).toEqual([16, 16, 16, 16, 16, 16, 4]);
    expect(cutLengths(100, 5, Number.POSITIVE_INFINITY)).toEqual([20, 20, 20, 20, 20]);
  });

  test("loses no node, keeps near-equal parts when they fit and the cap otherwise", () => {
    fc.assert(
      fc.property(
        fc.nat(200),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 40 }),
        (nodes, parts, cap) => {
          const lengths = cutLengths(nodes, parts, cap);
          expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(nodes);
          expect(lengths.every((length) => length > 0 && length <= cap + 1)).toBe(true);
          if (lengths.length > 0 && nodes / parts <= cap) {
            expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
          }
        },
      ),
    );
  });
});
