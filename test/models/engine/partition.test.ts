import { expect, test } from "bun:test";
import fc from "fast-check";
import { PartitionError, partitionLayers } from "../../../models/partition.ts";

const slowest = (bounds: readonly number[], head: number): number =>
  Math.max(...bounds.slice(1).map((end, k) => end - bounds[k]! + (k === bounds.length - 2 ? head : 0)));

/** Work of the slowest stage of the best of all splits. */
function bestSlowest(layers: number, stages: number, head: number): number {
  if (stages === 1) return layers + head;
  let best = Number.POSITIVE_INFINITY;
  for (let first = 1; first <= layers - stages + 1; first++) {
    best = Math.min(best, Math.max(first, bestSlowest(layers - first, stages - 1, head)));
  }
  return best;
}

test("no split has a faster slowest stage", () => {
  const request = fc.integer({ min: 1, max: 14 }).chain((layers) =>
    fc.record({
      layers: fc.constant(layers),
      stageCount: fc.integer({ min: 1, max: Math.min(layers, 6) }),
      headLayerEquivalents: fc.double({ min: 0, max: 12, noNaN: true }),
    }),
  );
  fc.assert(
    fc.property(request, ({ layers, stageCount, headLayerEquivalents }) => {
      const bounds = partitionLayers({ layers, stageCount, headLayerEquivalents });
      expect(bounds.length).toBe(stageCount + 1);
      expect([bounds[0], bounds.at(-1)]).toEqual([0, layers]);
      for (let k = 0; k < stageCount; k++) expect(bounds[k + 1]!).toBeGreaterThan(bounds[k]!);
      const best = bestSlowest(layers, stageCount, headLayerEquivalents);
      expect(slowest(bounds, headLayerEquivalents)).toBeCloseTo(best, 9);
    }),
  );
});

test("stages before the last differ by one layer at most", () => {
  const bounds = partitionLayers({ layers: 30, stageCount: 4, headLayerEquivalents: 8 });
  expect(bounds).toEqual([0, 10, 19, 28, 30]);
  expect(partitionLayers({ layers: 30, stageCount: 3, headLayerEquivalents: 8 })).toEqual([0, 13, 25, 30]);
});

test.each([0, -1, 31, 2.5, Number.NaN])("%d stages of a model of 30 layers are refused", (stageCount) => {
  const split = () => partitionLayers({ layers: 30, stageCount, headLayerEquivalents: 8 });
  expect(split).toThrow(PartitionError);
  expect(split).toThrow(/30 layers can be split into 1 to 30 stages/);
});
