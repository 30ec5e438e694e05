import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { segmentMs } from "../../../decoding/costs.ts";
import { differ, LiveCosts } from "../../../models/live-costs.ts";
import type { CostTable } from "../../../models/stage-engine.ts";
import { seededRandom } from "../../simulation/world.ts";

const SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
const tableOf = (ms: (nodes: number) => number): CostTable =>
  SIZES.map((nodes) => ({ nodes, ms: ms(nodes) }));
const START = tableOf((nodes) => 3 + 0.7 * nodes);

const factors = (live: LiveCosts) => live.table.map(({ ms }, index) => ms / START[index]!.ms);

/** Feeds runs of these sizes in turn. */
function feed(live: LiveCosts, runs: number, sizes: readonly number[], ms: (nodes: number) => number): void {
  for (let run = 0; run < runs; run++) {
    const nodes = sizes[run % sizes.length]!;
    live.observe(nodes, ms(nodes));
  }
}

describe("a live cost table", () => {
  test("stays as measured while runs take what it says", () => {
    const live = new LiveCosts(START);
    feed(live, 1000, [1, 5, 7, 20, 40, 64, 64], (nodes) => segmentMs(START, nodes));
    for (const factor of factors(live)) expect(factor).toBeCloseTo(1, 9);
  });

  test("follows a stage that became slower, at sizes in and between its entries", () => {
    const live = new LiveCosts(START);
    const slower = tableOf((nodes) => 2 * (3 + 0.7 * nodes));
    feed(live, 1200, SIZES, (nodes) => segmentMs(slower, nodes));
    for (const factor of factors(live)) expect(factor).toBeCloseTo(2, 1);
    const between = new LiveCosts(START);
    feed(between, 600, [10, 14, 20, 28, 40, 56], (nodes) => segmentMs(slower, nodes));
    expect(segmentMs(between.table, 20) / segmentMs(slower, 20)).toBeCloseTo(1, 1);
  });

  test("an entry without runs moves with its neighbours, more with the nearer ones", () => {
    const live = new LiveCosts(START);
    feed(live, 400, [1, 64], (nodes) => segmentMs(START, nodes) * (nodes === 1 ? 1 : 3));
    const moved = factors(live);
    expect(moved[0]).toBeCloseTo(1, 1);
    expect(moved.at(-1)).toBeCloseTo(3, 1);
    for (const [index, factor] of moved.entries()) {
      if (index > 0) expect(factor).toBeGreaterThanOrEqual(moved[index - 1]! - 1e-9);
    }
    const alone = new LiveCosts(START);
    feed(alone, 400, [8], (nodes) => segmentMs(START, nodes) * 1.5);
    for (const factor of factors(alone)) expect(factor).toBeCloseTo(1.5, 1);
  });

  test("what an entry knew long ago counts less than what its neighbours see now", () => {
    const live = new LiveCosts(START);
    feed(live, 200, [4], (nodes) => segmentMs(START, nodes) * 4);
    feed(live, 4000, [3, 6], (nodes) => segmentMs(START, nodes));
    expect(factors(live)[3]).toBeCloseTo(1, 1);
  });

  test.each([1, 2, 3])("noise and runs that were held up hardly show (seed %d)", (seed) => {
    const random = seededRandom(seed);
    const live = new LiveCosts(START);
    const slower = tableOf((nodes) => 1.5 * (3 + 0.7 * nodes));
    const noisy = (nodes: number) =>
      segmentMs(slower, nodes) * (random() < 0.05 ? 20 : 0.85 + 0.3 * random());
    feed(live, 2000, [1, 2, 4, 7, 16, 33, 64], noisy);
    for (const { nodes, ms } of live.table) {
      const ratio = ms / segmentMs(slower, nodes);
      expect(ratio).toBeGreaterThan(0.88);
      expect(ratio).toBeLessThan(1.12);
    }
  });

  test("never falls with the number of nodes, keeps its sizes and stays positive, whatever comes", () => {
    const run = fc.record({ nodes: fc.nat(100), ms: fc.double({ min: -1, max: 500, noNaN: true }) });
    const start = fc.array(fc.double({ min: 0.01, max: 300, noNaN: true }), {
      minLength: SIZES.length,
      maxLength: SIZES.length,
    });
    fc.assert(
      fc.property(start, fc.array(run, { maxLength: 300 }), (times, runs) => {
        const live = new LiveCosts(SIZES.map((nodes, index) => ({ nodes, ms: times[index]! })));
        for (const { nodes, ms } of runs) live.observe(nodes, ms);
        expect(live.table.map(({ nodes }) => nodes)).toEqual(SIZES);
        for (const [index, { ms }] of live.table.entries()) {
          expect(ms).toBeGreaterThan(0);
          expect(Number.isFinite(ms)).toBe(true);
          if (index > 0) expect(ms).toBeGreaterThanOrEqual(live.table[index - 1]!.ms);
        }
      }),
    );
  });

  test("works with one entry", () => {
    const live = new LiveCosts([{ nodes: 4, ms: 10 }]);
    feed(live, 100, [1, 9], () => 20);
    expect(live.table[0]!.ms).toBeCloseTo(20, 0);
    expect(() => new LiveCosts([])).toThrow(RangeError);
  });
});

test("tables differ when some entry moved by more than the share, up or down", () => {
  const base = [
    { nodes: 1, ms: 10 },
    { nodes: 2, ms: 20 },
  ];
  const second = (ms: number) => [base[0]!, { nodes: 2, ms }];
  expect(differ(base, second(21.9), 0.1)).toBe(false);
  expect(differ(base, second(22.1), 0.1)).toBe(true);
  expect(differ(base, second(18.3), 0.1)).toBe(false);
  expect(differ(base, second(18.1), 0.1)).toBe(true);
});
