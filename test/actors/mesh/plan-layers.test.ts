import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Demand } from "../../../actors/mesh/demand.ts";
import { planLayers } from "../../../actors/mesh/plan-layers.ts";
import type { PlanHost, PlanModel } from "../../../actors/mesh/plan-parts.ts";
import type { LayerPin } from "../../../actors/mesh/records.ts";

const MIB = 2 ** 20;
const model: PlanModel = {
  layers: 30,
  headLayers: 8,
  layerBytes: 3 * MIB,
  embeddingBytes: 30 * MIB,
  headBytes: 30 * MIB,
};
const host = (name: string, layerMs: number, rest: Partial<PlanHost> = {}): PlanHost => ({
  name,
  layerMs,
  slots: 1,
  delayMs: 0,
  bytesMax: 1e12,
  labels: {},
  ...rest,
});
/** One request, whose tokens all wait for the one before. */
const PLAIN: Demand = { sessions: 1, segmentNodes: 1, commitsPerToken: 1, missesPerToken: 1 };
/** So many that only the slowest stage counts. */
const CROWD: Demand = { ...PLAIN, sessions: 1000 };

/** One stage of a plan under trial. */
interface Piece {
  readonly at: PlanHost;
  readonly busyMs: number;
}

/** Milliseconds per token, from what docs/architecture.md says of it. */
function judged(pieces: readonly Piece[], { sessions, commitsPerToken, missesPerToken }: Demand): number {
  const slowest = Math.max(...pieces.map(({ busyMs }) => busyMs));
  let loop = 0;
  for (const { busyMs } of pieces) loop += busyMs;
  for (const at of new Set(pieces.map((piece) => piece.at))) loop += at.delayMs;
  const hits = commitsPerToken - missesPerToken;
  return Math.max(commitsPerToken * slowest, (missesPerToken * loop + hits * slowest) / sessions);
}

function allowed(
  { plan, pins }: { readonly plan: PlanModel; readonly pins: readonly LayerPin[] },
  at: PlanHost,
  first: number,
  end: number,
): boolean {
  const weights = (first === 0 ? plan.embeddingBytes : 0) + (end === plan.layers ? plan.headBytes : 0);
  if (weights + (end - first) * plan.layerBytes > at.bytesMax) return false;
  for (let layer = first; layer < end; layer++) {
    for (const pin of pins) {
      if (layer >= pin.firstLayer && layer < pin.endLayer && at.labels[pin.label] !== pin.value) return false;
    }
  }
  return true;
}

/** Every way to give contiguous ranges to hosts, by plain recursion: the best one's time per token. */
function bruteForce(
  plan: PlanModel,
  hosts: readonly PlanHost[],
  demand: Demand,
  pins: readonly LayerPin[],
): number | undefined {
  let least = Number.POSITIVE_INFINITY;
  const extend = (from: number, pieces: readonly Piece[]): void => {
    if (from === plan.layers) {
      least = Math.min(least, judged(pieces, demand));
      return;
    }
    for (const at of hosts) {
      if (pieces.filter((piece) => piece.at === at).length === at.slots) continue;
      for (let end = from + 1; end <= plan.layers; end++) {
        if (!allowed({ plan, pins }, at, from, end)) continue;
        const work = end - from + (end === plan.layers ? plan.headLayers : 0);
        extend(end, [...pieces, { at, busyMs: work * at.layerMs }]);
      }
    }
  };
  extend(0, []);
  return Number.isFinite(least) ? least : undefined;
}

const demands = fc
  .record({
    sessions: fc.constantFrom(1, 1.7, 4, 100),
    segmentNodes: fc.constant(4),
    commitsPerToken: fc.constantFrom(1, 0.8, 0.4),
    missShare: fc.constantFrom(0, 0.2, 0.6, 1),
  })
  .map(({ missShare, ...rest }) => ({ ...rest, missesPerToken: missShare * rest.commitsPerToken }));

describe("planned layers", () => {
  test("are as good as the best of all plans, and keep to memory and pins", () => {
    const labels = fc.constantFrom<Record<string, string>>({}, { site: "attic" });
    const hosts = fc.array(
      fc.record({
        name: fc.constant("any"),
        slots: fc.constantFrom(1, 1, 2),
        layerMs: fc.integer({ min: 1, max: 9 }),
        delayMs: fc.integer({ min: 0, max: 12 }),
        bytesMax: fc.integer({ min: 1, max: 14 }),
        labels,
      }),
      { minLength: 1, maxLength: 3 },
    );
    const models = fc.record({
      layers: fc.integer({ min: 1, max: 6 }),
      headLayers: fc.integer({ min: 0, max: 3 }),
      layerBytes: fc.constant(1),
      embeddingBytes: fc.integer({ min: 0, max: 3 }),
      headBytes: fc.integer({ min: 0, max: 3 }),
    });
    const pins = fc.array(
      fc.record({
        firstLayer: fc.integer({ min: 0, max: 3 }),
        endLayer: fc.integer({ min: 1, max: 6 }),
        label: fc.constant("site"),
        value: fc.constant("attic"),
      }),
      { maxLength: 1 },
    );
    let feasible = 0;
    fc.assert(
      fc.property(models, hosts, demands, pins, (plan, places, demand, pinned) => {
        const found = planLayers(plan, places, demand, pinned);
        const best = bruteForce(plan, places, demand, pinned);
        expect(found === undefined).toBe(best === undefined);
        if (found === undefined || best === undefined) return;
        feasible++;
        expect(found.tokenMs).toBeCloseTo(best, 6);
        let at = 0;
        const pieces = found.ranges.map(({ host: index, firstLayer, endLayer }) => {
          expect(firstLayer).toBe(at);
          expect(endLayer).toBeGreaterThan(firstLayer);
          at = endLayer;
          const work = endLayer - firstLayer + (endLayer === plan.layers ? plan.headLayers : 0);
          const place = places[index]!;
          expect(allowed({ plan, pins: pinned }, place, firstLayer, endLayer)).toBe(true);
          return { at: place, busyMs: work * place.layerMs };
        });
        expect(at).toBe(plan.layers);
        for (const place of places) {
          expect(pieces.filter((piece) => piece.at === place).length).toBeLessThanOrEqual(place.slots);
        }
        expect(judged(pieces, demand)).toBeCloseTo(found.tokenMs, 6);
      }),
      { numRuns: 400 },
    );
    expect(feasible).toBeGreaterThan(100);
  });

  test("of equal hosts are split evenly, the head counted", () => {
    const four = ["a", "b", "c", "d"].map((name) => host(name, 1));
    for (const hosts of [four, [host("one", 1, { slots: 4 })]]) {
      const found = planLayers(model, hosts, CROWD);
      expect(found?.ranges.map(({ endLayer }) => endLayer)).toEqual([10, 19, 28, 30]);
    }
  });

  test("use all stages that a host was told to have, also for plain decoding and one request", () => {
    const found = planLayers(model, [host("up", 1, { slots: 4, delayMs: 2 })], PLAIN);
    expect(found?.ranges.map(({ endLayer }) => endLayer)).toEqual([10, 19, 28, 30]);
    expect(found?.tokenMs).toBe(40);
  });

  test("for one request leave hosts unused that would only lengthen the loop, and take them for many", () => {
    const hosts = [host("quick", 4, { delayMs: 10 }), host("slow", 8, { delayMs: 10 })];
    const alone = planLayers(model, hosts, PLAIN);
    expect(alone?.ranges).toEqual([{ host: 0, firstLayer: 0, endLayer: 30 }]);
    expect(alone?.tokenMs).toBe(38 * 4 + 10);
    const crowd = planLayers(model, hosts, CROWD);
    expect(crowd?.ranges).toHaveLength(2);
    expect(crowd?.tokenMs).toBe(104);
  });

  test("for one request that speculates use a second host that is as fast", () => {
    const hosts = [
      host("quick", 4, { delayMs: 10 }),
      host("slow", 12),
      host("quick too", 4, { delayMs: 10 }),
    ];
    const demand = { sessions: 1, segmentNodes: 4, commitsPerToken: 0.8, missesPerToken: 0.45 };
    const found = planLayers(model, hosts, demand);
    expect(found?.ranges.map((range) => range.host).toSorted()).toEqual([0, 2]);
    expect(found?.slotMs).toBe(19 * 4);
  });

  test("leave a far host unused for one request, and a very slow one for any number", () => {
    const hosts = [host("quick", 1), host("far", 1, { delayMs: 600 }), host("slow", 50)];
    expect(planLayers(model, hosts, PLAIN)?.ranges).toEqual([{ host: 0, firstLayer: 0, endLayer: 30 }]);
    const used = planLayers(model, hosts, CROWD)?.ranges.map((range) => range.host);
    expect(used?.toSorted()).toEqual([0, 1]);
  });

  test("never predict a longer time with one host more, for any demand", () => {
    const hosts = [4, 8, 6, 12, 4, 10].map((ms, k) => host(`h${k}`, ms, { delayMs: 10 }));
    const [demand = PLAIN] = fc.sample(demands, { numRuns: 1, seed: 7 });
    for (const each of [PLAIN, CROWD, demand]) {
      const times = hosts.map((_, k) => planLayers(model, hosts.slice(0, k + 1), each)?.tokenMs ?? 0);
      expect(times).toEqual(times.toSorted((a, b) => b - a));
      expect(times[0]).toBeGreaterThanOrEqual(times.at(-1) ?? 0);
    }
  });

  test("of thirty hosts are found too", () => {
    const hosts = Array.from({ length: 30 }, (_, i) => host(`h${i}`, 1 + (i % 3)));
    const found = planLayers(model, hosts, CROWD);
    expect(found?.ranges.at(-1)?.endLayer).toBe(30);
    expect(found?.slotMs).toBe(9);
  });

  test("are none when no memory holds the model", () => {
    expect(planLayers(model, [host("small", 1, { bytesMax: 60 * MIB })], PLAIN)).toBeUndefined();
  });
});
