import { describe, expect, test } from "bun:test";
import type { AcceptanceTrace } from "../../bench/acceptance-trace.ts";
import { tunedContenders } from "../../bench/tuning.ts";
import { tuningGrid } from "../../bench/tuning-grid.ts";
import { PipelineCosts } from "../../decoding/costs.ts";
import { POLICIES, parsePolicy } from "../../decoding/policies/registry.ts";

const tuned = [...POLICIES.keys()].filter((policy) => tuningGrid(policy) !== undefined);

test("the policies to compare with have grids", () => {
  expect(tuned).toEqual(expect.arrayContaining(["naive", "pipedec", "flowspec"]));
});

test.each(tuned)("the grid of %s has policies that exist, each once", (policy) => {
  const specs = tuningGrid(policy) ?? [];
  expect(specs.length).toBeGreaterThan(5);
  expect(new Set(specs).size).toBe(specs.length);
  for (const spec of specs) expect(parsePolicy(spec).definition.name).toBe(policy);
});

test("there is no grid for plain decoding, nor where parameters are given", () => {
  expect(tuningGrid("autoregressive")).toBeUndefined();
  expect(tuningGrid("flowspec:total=8")).toBeUndefined();
});

describe("tuning", () => {
  /** A drafter whose best guess is always right, beside many guesses that are always wrong. */
  const tokens = Array.from({ length: 24 }, (_, index) => index);
  const wrong = Array.from({ length: 60 }, (_, index) => index);
  const trees = tokens.map((token) => ({
    parents: [-1, 0, 1, ...wrong.map(() => -1)],
    tokens: [token + 1, token + 2, token + 3, ...wrong.map((index) => 900 + index)],
    scores: [-0.1, -0.2, -0.3, ...wrong.map((index) => -3 - index / 100)],
  }));
  const session = { prompt: "p", kind: "code", temperature: 0, promptTokens: 4, tokens, trees };
  const header = { format: "flowmesh acceptance trace 1", model: "m", drafter: "d", date: "2026" } as const;
  const trace: AcceptanceTrace = { header, sessions: [session] };
  /** Every node costs as much as the first one: wide segments are a loss. */
  const narrow = new PipelineCosts(
    Array(3).fill([
      { nodes: 1, ms: 20 },
      { nodes: 64, ms: 1280 },
    ]),
  );

  test("finds smaller trees than the reference's for stages that pay for every node", async () => {
    const link = { delayMs: 0 };
    const found = await tunedContenders(["autoregressive", "naive", "pipedec:width=3"], {
      trace,
      costs: narrow,
      link,
    });
    expect(found.map(({ label }) => label)).toEqual(["naive*"]);
    expect(parsePolicy(found[0]?.spec ?? "").parameters.total).toBeLessThan(80);
  });
});
