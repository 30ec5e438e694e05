import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { fitFlowspec, segmentMs } from "../../../decoding/policies/fit.ts";
import { cutLengths } from "../../../decoding/policies/flowspec.ts";

const table = (ms: Record<number, number>) =>
  Object.entries(ms).map(([nodes, t]) => ({ nodes: Number(nodes), ms: t }));

/** A device that takes as long for 32 nodes as for one, and one where each node costs as much again. */
const WIDE = table({ 1: 10, 2: 10, 4: 10.1, 8: 10.2, 16: 10.4, 32: 11 });
const NARROW = table({ 1: 10, 2: 20, 4: 40, 8: 80, 16: 160, 32: 320 });

describe("fitFlowspec", () => {
  test("gives a wide device long segments and a narrow one single nodes", () => {
    expect(fitFlowspec(WIDE, 1).segmentNodes).toBeGreaterThanOrEqual(16);
    expect(fitFlowspec(NARROW, 1).segmentNodes).toBe(1);
  });

  test("never makes segments shorter when extra nodes get cheaper", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        fc.double({ min: 0.1, max: 1, noNaN: true }),
        (slope, share) => {
          const line = (b: number) =>
            [1, 2, 4, 8, 16, 32].map((nodes) => ({ nodes, ms: 10 * (1 + b * (nodes - 1)) }));
          const dear = fitFlowspec(line(slope), share).segmentNodes;
          const cheap = fitFlowspec(line(slope / 2), share).segmentNodes;
          expect(cheap).toBeGreaterThanOrEqual(dear);
        },
      ),
    );
  });
});

describe("segmentMs", () => {
  test("gives the table's own values, interpolates between them and goes on with the last slope", () => {
    const costs = table({ 1: 10, 4: 16, 8: 20 });
    expect([1, 4, 8].map((nodes) => segmentMs(costs, nodes))).toEqual([10, 16, 20]);
    expect(segmentMs(costs, 2)).toBeCloseTo(12, 9);
    expect(segmentMs(costs, 12)).toBeCloseTo(24, 9);
  });
});

describe("cutLengths", () => {
  test("cuts the reference's tree of 81 nodes for five ranks as the reference does", () => {
    expect(cutLengths(81, 5, 16)).toEqual([16, 16, 16, 16, 17]);
    expect(cutLengths(100, 5, 16)).toEqual([16, 16, 16, 16, 16, 16, 4]);
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
