import { describe, expect, test } from "bun:test";
import { paddedRows, stableRowMultiple, UnstableKernelsError } from "../../../models/row-multiple.ts";

/** A kernel that takes rows in tiles of these heights, largest first; a row's bits tell which tile it was in. */
const tiled =
  (...heights: readonly number[]) =>
  async (rows: number): Promise<Float32Array> => {
    const bits: number[] = [];
    for (const height of heights.toSorted((a, b) => b - a)) {
      while (rows - bits.length >= height)
        bits.push(...Array.from({ length: height }, () => 1 / (2 + height)));
    }
    return Float32Array.from(bits);
  };

describe("runs are padded to the least number of rows that gives the same bits", () => {
  test.each([
    { heights: [1], minimum: 1, multiple: 1 },
    { heights: [1, 2], minimum: 1, multiple: 2 },
    { heights: [1, 4], minimum: 1, multiple: 4 },
    { heights: [1, 2, 4], minimum: 2, multiple: 4 },
    { heights: [1, 8], minimum: 1, multiple: 8 },
  ])("$heights rows at a time, at least $minimum: $multiple", async ({ heights, minimum, multiple }) => {
    expect(await stableRowMultiple(minimum, tiled(...heights))).toBe(multiple);
  });

  test("a single row that is never computed alone need not be like the others", async () => {
    const run = async (rows: number) => new Float32Array(rows).fill(rows === 1 ? 1 : 2);
    expect(await stableRowMultiple(2, run)).toBe(1);
    expect(await stableRowMultiple(1, run)).toBe(2);
  });

  test("kernels of which none is stable are refused, with what to try", async () => {
    const run = async (rows: number) => new Float32Array(rows).fill(rows);
    await expect(stableRowMultiple(1, run)).rejects.toThrow(UnstableKernelsError);
    await expect(stableRowMultiple(1, run)).rejects.toThrow("--numerics");
  });

  test("zeros of either sign are other bits", async () => {
    const run = async (rows: number) => Float32Array.from({ length: rows }, () => (rows === 1 ? -0 : 0));
    expect(await stableRowMultiple(1, run)).toBe(2);
  });
});

test("padding adds no more rows than it takes", () => {
  for (let nodes = 1; nodes <= 64; nodes++) {
    for (const minimum of [1, 2]) {
      for (const multiple of [1, 2, 4, 8]) {
        const rows = paddedRows(nodes, minimum, multiple);
        expect(rows % multiple).toBe(0);
        expect(rows).toBeGreaterThanOrEqual(Math.max(nodes, minimum));
        expect(rows - multiple).toBeLessThan(Math.max(nodes, minimum));
      }
    }
  }
});
