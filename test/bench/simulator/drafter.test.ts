import { describe, expect, test } from "bun:test";
import { Drafter } from "../../../bench/simulator/drafter.ts";
import { EventQueue } from "../../../bench/simulator/event-queue.ts";
import { SYNTHETIC_DRAFTERS, syntheticSessions } from "../../../bench/simulator/synthetic-trace.ts";
import { nodeId, tokenId } from "../../../decoding/ids.ts";
import type { DraftSize } from "../../../decoding/policies/policy.ts";
import type { FlowCandidates } from "../../../decoding/session-flow.ts";
import { expandTree } from "../../../models/draft/expansion.ts";

const COSTS = {
  extendMs: 5,
  pass: [
    { nodes: 1, ms: 1 },
    { nodes: 11, ms: 11 },
  ],
};
const LEVEL: DraftSize = {
  growth: "level",
  topK: 3,
  batch: 3,
  depth: 2,
  total: 8,
  minProbability: 0,
  coupled: true,
};
const BEST: DraftSize = { ...LEVEL, growth: "best", batch: 2, depth: 5, total: 12 };

const [play] = syntheticSessions({ drafter: SYNTHETIC_DRAFTERS.average, sessions: 1, tokens: 20, seed: 4 });

function begin(taps: number) {
  const events = new EventQueue();
  const drafter = new Drafter(events, COSTS, taps);
  const found: (FlowCandidates & { readonly atMs: number })[] = [];
  drafter.begin(0, play!, (candidates) => void found.push({ ...candidates, atMs: events.nowMs }));
  const expand = (position: number, size: DraftSize) =>
    drafter.expand(0, {
      type: "expand",
      generation: 0,
      base: nodeId(position),
      position,
      path: [tokenId(play!.tokens[position - 1]!)],
      size,
    });
  return { events, drafter, found, expand };
}

describe("simulated drafter", () => {
  test("grows the tree that the real growth grows, and takes a pass a level", async () => {
    const { events, drafter, found, expand } = begin(0);
    drafter.committed(0, 2);
    expand(1, LEVEL);
    events.run();
    const root = play!.guessesBelow(0);
    const real = await expandTree(LEVEL, root.children, async (frontier, pool) =>
      frontier.map((index) => {
        let guess = root;
        for (const token of pool.tokensTo(index))
          guess = guess.children.find((child) => child.token === token)!;
        return guess.children;
      }),
    );
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ base: 1, position: 1, more: false, tokens: [...real.tokens] });
    expect(found[0]!.parents).toEqual([...real.parents]);
    expect(found[0]!.scores).toEqual([...real.scores]);
    // Five to extend, then at most two passes of three nodes.
    expect(found[0]!.atMs).toBeLessThanOrEqual(5 + 2 * 3);
    expect(found[0]!.atMs).toBeGreaterThan(5);
  });

  test("growth best tells what it has pass by pass, the root's children at once", () => {
    const { events, drafter, found, expand } = begin(0);
    drafter.committed(0, 2);
    expand(1, BEST);
    events.run();
    expect(found.length).toBeGreaterThan(2);
    expect(found[0]!.atMs).toBe(5);
    expect(found.map(({ more }) => more)).toEqual([...found.slice(1).map(() => true), false]);
    const times = found.map(({ atMs }) => atMs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });

  test("an expansion waits for the features of its root from every tap", () => {
    const { events, drafter, found, expand } = begin(2);
    drafter.committed(0, 2);
    expand(1, LEVEL);
    events.at(30, () => drafter.featuresCame(0, 0, 1));
    events.at(40, () => drafter.featuresCame(0, 1, 1));
    events.run();
    expect(found[0]!.atMs).toBeGreaterThan(45);
  });

  test("a second expansion below the same root does not pay again for what was deepened", () => {
    const { events, drafter, found, expand } = begin(0);
    drafter.committed(0, 2);
    expand(1, LEVEL);
    events.at(100, () => expand(1, LEVEL));
    events.run();
    expect(found.map(({ atMs }) => atMs >= 100)).toEqual([false, true]);
    expect(found[1]!.atMs).toBe(100);
  });

  test("newer features end an expansion early with what it has", () => {
    const { events, drafter, found, expand } = begin(0);
    drafter.committed(0, 2);
    expand(1, BEST);
    // In the middle of the first pass.
    events.at(5.5, () => drafter.committed(0, 3));
    events.run();
    expect(found.map(({ more }) => more)).toEqual([true, true, false]);
    expect(found.at(-1)!.atMs).toBeLessThanOrEqual(5 + 2);
  });

  test("a session that is over is not drafted for", () => {
    const { events, drafter, found, expand } = begin(0);
    drafter.forget(0);
    drafter.committed(0, 2);
    expand(1, LEVEL);
    events.run();
    expect(found).toEqual([]);
  });
});
