import { describe, expect, test } from "bun:test";
import { segmentMs } from "../../decoding/costs.ts";

const table = (ms: Record<number, number>) =>
  Object.entries(ms).map(([nodes, t]) => ({ nodes: Number(nodes), ms: t }));

describe("segmentMs", () => {
  test("gives the table's own values, interpolates between them and goes on with the last slope", () => {
    const costs = table({ 1: 10, 4: 16, 8: 20 });
    expect([1, 4, 8].map((nodes) => segmentMs(costs, nodes))).toEqual([10, 16, 20]);
    expect(segmentMs(costs, 2)).toBeCloseTo(12, 9);
    expect(segmentMs(costs, 12)).toBeCloseTo(24, 9);
  });
});
