import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PipelineCosts, segmentMs } from "../../../decoding/costs.ts";
import { DraftTree, type TreeNode } from "../../../decoding/draft-tree.ts";
import { NO_NODE, tokenId } from "../../../decoding/ids.ts";
import type { PolicyView } from "../../../decoding/policies/policy.ts";
import { createPolicy } from "../../../decoding/policies/registry.ts";

const TABLE = [
  { nodes: 1, ms: 24 },
  { nodes: 4, ms: 36 },
  { nodes: 16, ms: 80 },
];
const COSTS = new PipelineCosts([[{ nodes: 1, ms: 1 }], TABLE]);
const GAIN = 0.2;

const fullflow = () => createPolicy(`fullflow:gain=${GAIN}`, { stageCount: 2, costs: COSTS });
const freshTree = () => new DraftTree({ parent: NO_NODE, token: tokenId(1), position: 10 }, 0);

const idle = { linkMs: 1, freeAtMs: 0, ahead: 0, dueAtMs: undefined };
const viewOf = (tree: DraftTree, rest: Partial<PolicyView> = {}): PolicyView => ({
  tree,
  nowMs: 1000,
  inFlight: 0,
  stageCount: 2,
  firstStage: idle,
  costs: COSTS,
  canDraft: false,
  drafting: false,
  ...rest,
});

/** A random tree: each candidate hangs below an earlier one or the root, with a probability given it. */
const candidates = fc
  .array(fc.tuple(fc.nat(1000), fc.double({ min: 0.02, max: 0.95, noNaN: true })), { maxLength: 40 })
  .map((draws) => {
    const parents = draws.map(([at], i) => (at % (i + 1)) - 1);
    const scores: number[] = [];
    for (const [i, [, p]] of draws.entries()) {
      scores.push((parents[i]! < 0 ? 0 : scores[parents[i]!]!) + Math.log(p));
    }
    return { parents, tokens: draws.map((_, i) => 100 + i), scores };
  });

const pathProbability = (node: TreeNode) => Math.exp(node.score);

describe("fullflow", () => {
  test("sends the prefix of the likeliest nodes that saves most for its time", () => {
    fc.assert(
      fc.property(candidates, (found) => {
        const tree = freshTree();
        tree.graft(tree.root, found, true);
        const likely = tree
          .waiting()
          .map(pathProbability)
          .filter((p) => p >= 0.005);
        // Both stages and three links once round; a node that leaves right behind its parent saves all of it.
        const roundTripMs = (nodes: number) => 1 + segmentMs(TABLE, nodes) + 3 * 1;
        const value = (n: number) => {
          const mass = likely.slice(0, n).reduce((sum, p) => sum + p, 0);
          return (mass * (2 * roundTripMs(1) - roundTripMs(n))) / segmentMs(TABLE, n);
        };
        const values = likely.slice(0, 32).map((_, i) => value(i + 1));
        const { segment } = fullflow().plan(viewOf(tree));
        expect(value(segment.length)).toBeCloseTo(Math.max(...values), 9);
        const mass = segment.reduce((total, node) => total + pathProbability(node), 0);
        expect(mass).toBeCloseTo(
          likely.slice(0, segment.length).reduce((total, p) => total + p, 0),
          9,
        );
        const known = new Set<number>([tree.root.parent]);
        for (const { id, parent } of segment) {
          expect(known.has(parent)).toBe(true);
          known.add(id);
        }
      }),
    );
  });

  test("lets siblings that are late wait behind children that are in time", () => {
    const policy = fullflow();
    const tree = freshTree();
    const slow = { ...idle, linkMs: 20 };
    const sent = (nowMs: number) => {
      const { segment } = policy.plan(viewOf(tree, { nowMs, firstStage: slow }));
      tree.take(segment);
      return segment.map(({ token }) => Number(token));
    };
    expect(sent(1000)).toEqual([1]);
    tree.graft(tree.root, { parents: [-1], tokens: [5], scores: [Math.log(0.5)] }, true);
    expect(sent(1024)).toEqual([5]);
    // The child of 5 is less likely than 5's sibling, but that one is a slot too late.
    const scores = [Math.log(0.5), Math.log(0.16), Math.log(0.15)];
    tree.graft(tree.root, { parents: [-1, -1, 0], tokens: [5, 7, 6], scores }, true);
    const next = sent(1048);
    expect(next[0]).toBe(6);
  });

  test("sends the corrected root at once after a miss, while the drafter still works", () => {
    const policy = fullflow();
    policy.rootMoved(false);
    const tree = freshTree();
    expect(policy.plan(viewOf(tree, { canDraft: true })).expand?.growth).toBe("best");
    expect(policy.plan(viewOf(tree, { canDraft: true, drafting: true })).segment).toEqual([tree.root]);
  });

  test("lets a segment arrive just when the first stage is free, and asks to be called then", () => {
    const policy = fullflow();
    const tree = freshTree();
    const busy = { ...idle, linkMs: 5, freeAtMs: 1030, ahead: 1 };
    const { segment, wakeAtMs } = policy.plan(viewOf(tree, { firstStage: busy }));
    expect(segment).toEqual([]);
    expect(wakeAtMs).toBeLessThanOrEqual(1025);
    expect(wakeAtMs).toBeGreaterThan(1023);
    expect(policy.plan(viewOf(tree, { firstStage: busy, nowMs: wakeAtMs! })).segment).toEqual([tree.root]);
  });

  test("leaves out what is too unlikely, and then waits for news", () => {
    const tree = freshTree();
    tree.take([tree.root]);
    tree.graft(
      tree.root,
      { parents: [-1, -1], tokens: [5, 6], scores: [Math.log(0.02), Math.log(0.001)] },
      true,
    );
    // 0.02 of a round trip of 28 ms is not worth a fifth of 24 ms.
    expect(fullflow().plan(viewOf(tree))).toEqual({ segment: [] });
    expect(fullflow().plan(viewOf(tree, { firstStage: { ...idle, linkMs: 100 } })).segment).toHaveLength(1);
  });

  test("holds a corrected root back for its children where company costs nothing, but not for ever", () => {
    const flat = new PipelineCosts([[{ nodes: 1, ms: 40 }], [{ nodes: 1, ms: 40 }]]);
    const policy = createPolicy("fullflow", { stageCount: 2, costs: flat });
    const tree = freshTree();
    const drafting = { costs: flat, canDraft: true, drafting: true };
    expect(policy.plan(viewOf(tree, drafting)).expand).toBeDefined();
    const { segment, wakeAtMs } = policy.plan(viewOf(tree, { ...drafting, nowMs: 1000 }));
    expect(segment).toEqual([]);
    expect(wakeAtMs).toBeGreaterThan(1000);
    expect(policy.plan(viewOf(tree, { ...drafting, nowMs: wakeAtMs! })).segment).toEqual([tree.root]);
    const other = createPolicy("fullflow", { stageCount: 2, costs: flat });
    other.plan(viewOf(tree, drafting));
    tree.graft(tree.root, { parents: [-1], tokens: [5], scores: [Math.log(0.5)] }, true);
    expect(other.plan(viewOf(tree, { ...drafting, nowMs: 1001 })).segment).toHaveLength(2);
  });
});
