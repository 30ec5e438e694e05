import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type PlanModel, type PlanSlot, planLayers, stageMs } from "../../../actors/mesh/plan-layers.ts";
import type { LayerPin } from "../../../actors/mesh/records.ts";

const MIB = 2 ** 20;
const model: PlanModel = {
  layers: 30,
  headLayers: 8,
  layerBytes: 3 * MIB,
  embeddingBytes: 30 * MIB,
  headBytes: 30 * MIB,
};
const slot = (host: string, layerMs: number, rest: Partial<PlanSlot> = {}): PlanSlot => ({
  host,
  layerMs,
  delayMs: 0,
  bytesMax: 1e12,
  labels: {},
  ...rest,
});

/** Every way to give contiguous ranges to slots, by plain recursion. */
function bruteForce(
  plan: PlanModel,
  slots: readonly PlanSlot[],
  pins: readonly LayerPin[],
): number | undefined {
  const allowed = (at: PlanSlot, first: number, end: number) => {
    const weights = (first === 0 ? plan.embeddingBytes : 0) + (end === plan.layers ? plan.headBytes : 0);
    if (weights + (end - first) * plan.layerBytes > at.bytesMax) return false;
    for (let layer = first; layer < end; layer++) {
      for (const pin of pins) {
        if (layer >= pin.firstLayer && layer < pin.endLayer && at.labels[pin.label] !== pin.value)
          return false;
      }
    }
    return true;
  };
  const best = (from: number, free: readonly PlanSlot[]): number => {
    if (from === plan.layers) return 0;
    let least = Number.POSITIVE_INFINITY;
    for (const at of free) {
      for (let end = from + 1; end <= plan.layers; end++) {
        if (!allowed(at, from, end)) continue;
        const work = end - from + (end === plan.layers ? plan.headLayers : 0);
        const own = work * at.layerMs + at.delayMs;
        least = Math.min(
          least,
          Math.max(
            own,
            best(
              end,
              free.filter((other) => other !== at),
            ),
          ),
        );
      }
    }
    return least;
  };
  const found = best(0, slots);
  return Number.isFinite(found) ? found : undefined;
}

describe("planned layers", () => {
  test("are as good as the best of all plans, and keep to memory and pins", () => {
    const labels = fc.constantFrom<Record<string, string>>({}, { site: "attic" });
    const slots = fc.array(
      fc.record({
        host: fc.constant("any"),
        layerMs: fc.integer({ min: 1, max: 9 }),
        delayMs: fc.integer({ min: 0, max: 12 }),
        bytesMax: fc.integer({ min: 1, max: 14 }),
        labels,
      }),
      { minLength: 1, maxLength: 4 },
    );
    const models = fc.record({
      layers: fc.integer({ min: 1, max: 7 }),
      headLayers: fc.integer({ min: 0, max: 3 }),
      layerBytes: fc.constant(1),
      embeddingBytes: fc.integer({ min: 0, max: 3 }),
      headBytes: fc.integer({ min: 0, max: 3 }),
    });
    const pins = fc.array(
      fc.record({
        firstLayer: fc.integer({ min: 0, max: 3 }),
        endLayer: fc.integer({ min: 1, max: 7 }),
        label: fc.constant("site"),
        value: fc.constant("attic"),
      }),
      { maxLength: 1 },
    );
    let feasible = 0;
    fc.assert(
      fc.property(models, slots, pins, (plan, places, pinned) => {
        const found = planLayers(plan, places, pinned);
        expect(found?.slowestMs).toBe(bruteForce(plan, places, pinned));
        if (found === undefined) return;
        feasible++;
        let at = 0;
        for (const { firstLayer, endLayer } of found.ranges) {
          expect(firstLayer).toBe(at);
          expect(endLayer).toBeGreaterThan(firstLayer);
          at = endLayer;
        }
        expect(at).toBe(plan.layers);
        expect(new Set(found.ranges.map((range) => range.slot)).size).toBe(found.ranges.length);
        const times = found.ranges.map(({ slot: index, firstLayer, endLayer }) =>
          stageMs(plan, places[index]!, firstLayer, endLayer),
        );
        expect(Math.max(...times)).toBe(found.slowestMs);
      }),
      { numRuns: 400 },
    );
    expect(feasible).toBeGreaterThan(100);
  });

  test("of equal slots are split evenly, the head counted", () => {
    const found = planLayers(
      model,
      Array.from({ length: 4 }, () => slot("one", 1)),
    );
    expect(found?.ranges.map(({ endLayer }) => endLayer)).toEqual([10, 19, 28, 30]);
  });

  test("leave a host unused that would only slow the others down", () => {
    const found = planLayers(model, [slot("quick", 1), slot("far", 1, { delayMs: 60 }), slot("slow", 50)]);
    expect(found?.ranges).toEqual([{ slot: 0, firstLayer: 0, endLayer: 30 }]);
  });

  test("give a host of half the speed about half the layers", () => {
    const found = planLayers({ ...model, headLayers: 0 }, [slot("quick", 1), slot("slow", 2)]);
    expect(found?.slowestMs).toBe(20);
  });

  test("of thirty slots are found too", () => {
    const found = planLayers(
      model,
      Array.from({ length: 30 }, (_, i) => slot(`h${i}`, 1 + (i % 3))),
    );
    expect(found?.ranges.at(-1)?.endLayer).toBe(30);
    expect(found?.slowestMs).toBe(9);
  });

  test("are none when no memory holds the model", () => {
    expect(planLayers(model, [slot("small", 1, { bytesMax: 60 * MIB })])).toBeUndefined();
  });
});
