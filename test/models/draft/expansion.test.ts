import { describe, expect, test } from "bun:test";
import { expandTree } from "../../../models/draft/expansion.ts";
import { type ExpansionLimits, TreeGrowth } from "../../../models/draft/tree-growth.ts";
import type { DraftCandidates } from "../../../models/draft-engine.ts";
import { SMALL_TREE } from "./draft-size.ts";
import { toyChildren } from "./toy-children.ts";

const SEED = 9;
const LARGE: ExpansionLimits = { ...SMALL_TREE, depth: 6, total: 500 };
const childrenAfter = (path: readonly number[]) => toyChildren(SEED, path, 0);

/** Expands the toy's tree; ended before pass number `passes`. */
async function expand(
  limits: ExpansionLimits,
  { passes = Number.POSITIVE_INFINITY, tells = false }: { passes?: number; tells?: boolean } = {},
) {
  const parts: DraftCandidates[] = [];
  let done = 0;
  const rest = await expandTree(
    limits,
    childrenAfter([]),
    async (frontier, pool) =>
      done++ < passes ? frontier.map((index) => childrenAfter(pool.tokensTo(index))) : undefined,
    tells ? (part) => parts.push(part) : undefined,
  );
  return { rest, parts };
}

describe("an expansion", () => {
  test("that is ended early gives what a shallower one gives", async () => {
    for (let passes = 0; passes < 4; passes++) {
      expect((await expand(LARGE, { passes })).rest).toEqual(
        (await expand({ ...LARGE, depth: passes })).rest,
      );
    }
  });

  test("by level tells nothing before its end", async () => {
    const { rest, parts } = await expand(LARGE, { tells: true });
    expect(parts).toEqual([]);
    expect(rest).toEqual((await expand(LARGE)).rest);
  });

  test("of the best tells what it has before each pass, and at the end the rest", async () => {
    const limits: ExpansionLimits = { ...LARGE, growth: "best", batch: 2, depth: 4, total: 40 };
    const { rest, parts } = await expand(limits, { tells: true });
    const growth = new TreeGrowth(limits, childrenAfter([]));
    const expected = [growth.selectNew()];
    while (growth.frontier.length > 0) {
      growth.grow(growth.frontier.map((index) => childrenAfter(growth.pool.tokensTo(index))));
      expected.push(growth.selectNew());
    }
    expect(expected.length).toBeGreaterThan(4);
    // A pass that found nothing good enough is not told of.
    const told = [...parts, rest].filter((part) => part.tokens.length > 0);
    expect(told).toEqual(expected.filter((part) => part.tokens.length > 0));
    expect((await expand(limits)).rest).toEqual(growth.select());
  });

  test("of the best, ended early, still gives all that it found", async () => {
    const limits: ExpansionLimits = { ...LARGE, growth: "best", batch: 1, depth: 4, total: 30 };
    const { rest, parts } = await expand(limits, { tells: true, passes: 3 });
    // The children of the root and of three nodes.
    const tokens = [...parts, rest].reduce((sum, part) => sum + part.tokens.length, 0);
    expect(tokens).toBeGreaterThanOrEqual(4 * limits.topK);
    expect((await expand(limits, { passes: 3 })).rest.tokens.length).toBe(4 * limits.topK);
  });
});
