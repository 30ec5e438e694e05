import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatCosts, measureCosts, parseCosts } from "../../../models/cost-table.ts";
import { LocalStageEngine } from "../../../models/local-stage-engine.ts";
import type { StageEngine, StageRun } from "../../../models/stage-engine.ts";
import { NOTHING_HELD } from "./pipeline.ts";
import { ToyMath } from "./toy-math.ts";

test("every measured run computes all its nodes, draws a token if asked to, and leaves nothing", async () => {
  const engine = new LocalStageEngine(new ToyMath(), 1e6);
  const computed: number[] = [];
  const observed: StageEngine = Object.assign(Object.create(engine) as StageEngine, {
    async run(run: StageRun) {
      const result = await engine.run(run);
      expect(result.nodes.ids.length).toBe(run.nodes.ids.length);
      computed.push(run.nodes.ids.length);
      return { ...result, computeMs: run.nodes.ids.length * 2 };
    },
    commit: engine.commit.bind(engine),
    nextToken: engine.nextToken.bind(engine),
    release: engine.release.bind(engine),
  });
  const table = await measureCosts(observed, { sizes: [16, 1, 4], hidden: 2 });
  expect(table).toEqual([
    { nodes: 1, ms: 2 },
    { nodes: 4, ms: 8 },
    { nodes: 16, ms: 32 },
  ]);
  expect(new Set(computed.slice(1))).toEqual(new Set([1, 4, 16]));
  const draws = await measureCosts(observed, { sizes: [1], hidden: 2, drawsTokens: true });
  expect(draws[0]!.ms).toBeGreaterThan(2);
  expect(await engine.usage()).toEqual(NOTHING_HELD);
});

test("a cost table's text gives the table again, to a hundredth of a millisecond", () => {
  const costs = fc.array(
    fc.record({ nodes: fc.integer({ min: 1, max: 64 }), hundredths: fc.integer({ min: 0, max: 1e6 }) }),
  );
  fc.assert(
    fc.property(costs, (rows) => {
      const table = rows.map(({ nodes, hundredths }) => ({ nodes, ms: hundredths / 100 }));
      expect(parseCosts(formatCosts(table))).toEqual(table);
    }),
  );
  expect(formatCosts([{ nodes: 16, ms: 2.906 }])).toBe("16=2.91");
});
