import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DraftTree, TreeNode } from "../../../decoding/draft-tree.ts";
import { accept, candidates, policyOf, rootOnly, sendAll, viewOf } from "./policy-view.ts";

/** A fresh tree of 81 nodes, as the reference drafts it. */
function freshTree(seed = 1): DraftTree {
  const tree = rootOnly();
  tree.graft(tree.root, candidates(80, 4, seed), false);
  return tree;
}

const lengths = (segments: TreeNode[][]) => segments.map((segment) => segment.length);
const scores = (segment: TreeNode[]) => segment.map((node) => node.score);
const positions = (segment: TreeNode[]) => segment.map((node) => node.position);

describe("flowspec", () => {
  test("asks for the reference's trees: 80 nodes at first and after a miss, 64 when the root is known", () => {
    const size = { growth: "level", topK: 10, batch: 10, depth: 6, minProbability: 0, coupled: true };
    const policy = policyOf("flowspec");
    const tree = freshTree();
    expect(policy.plan(viewOf(tree))).toEqual({
      segment: [],
      expand: { ...size, growth: "level", total: 80 },
    });
    const [child] = [...tree.root.children.keys()];
    expect(accept(policy, tree, child!)).toBe(true);
    expect(policy.plan(viewOf(tree)).expand).toMatchObject({ ...size, growth: "level", total: 64 });
    expect(accept(policy, tree, 9999)).toBe(false);
    expect(policy.plan(viewOf(tree)).expand).toMatchObject({ ...size, growth: "level", total: 80 });
    const uncoupled = policyOf("flowspec:coupled=0,topK=3").plan(viewOf(tree)).expand;
    expect(uncoupled).toMatchObject({ coupled: false, topK: 3, batch: 3 });
  });

  test("a new root waits for its tree, unless no drafter answers", () => {
    const policy = policyOf("flowspec");
    const tree = rootOnly();
    expect(policy.plan(viewOf(tree)).expand).toBeDefined();
    expect(policy.plan(viewOf(tree, { drafting: true })).segment).toEqual([]);
    expect(policy.plan(viewOf(tree, { canDraft: false })).segment).toEqual([tree.root]);
  });

  test("cuts a fresh tree for five ranks, the best nodes first", () => {
    fc.assert(
      fc.property(fc.nat(1000), (seed) => {
        const segments = sendAll(policyOf("flowspec"), freshTree(seed));
        expect(lengths(segments)).toEqual([16, 16, 16, 16, 17]);
        for (const [i, segment] of segments.slice(1).entries()) {
          expect(Math.max(...scores(segment))).toBeLessThanOrEqual(Math.min(...scores(segments[i]!)));
        }
      }),
    );
  });

  test("sends all that an expansion appended as one segment, or as many at once as it is told to", () => {
    for (const [spec, expected] of [
      ["flowspec", [30]],
      ["flowspec:appended=16", [16, 14]],
    ] as const) {
      const policy = policyOf(spec);
      const tree = freshTree();
      sendAll(policy, tree);
      tree.graft(
        tree.root,
        { ...candidates(30, 3, 5), tokens: Array.from({ length: 30 }, (_, i) => 200 + i) },
        false,
      );
      expect(lengths(sendAll(policy, tree))).toEqual([...expected]);
    }
  });
});

describe("flowspec without one of its parts", () => {
  test("unsorted: the same lengths, level by level", () => {
    const segments = sendAll(policyOf("flowspec-unsorted"), freshTree());
    expect(lengths(segments)).toEqual([16, 16, 16, 16, 17]);
    const inOrder = segments.flatMap(positions);
    expect(inOrder).toEqual(inOrder.toSorted((a, b) => a - b));
  });

  test("unpruned: the very same segments, but nothing is pruned in the stages", () => {
    const [policy, unpruned] = [policyOf("flowspec"), policyOf("flowspec-unpruned")];
    expect([policy.prunes, unpruned.prunes]).toEqual([true, false]);
    const ids = (segments: TreeNode[][]) => segments.map((segment) => segment.map(({ id }) => id));
    expect(ids(sendAll(unpruned, freshTree()))).toEqual(ids(sendAll(policy, freshTree())));
  });

  test.each(["flowspec-unexpanded", "pruned"])("%s: no expansion; a miss brings a fresh tree", (spec) => {
    const policy = policyOf(spec);
    const tree = freshTree();
    expect(policy.plan(viewOf(tree)).expand?.total).toBe(80);
    expect(lengths(sendAll(policy, tree))).toEqual([16, 16, 16, 16, 17]);
    const [child] = [...tree.root.children.keys()];
    accept(policy, tree, child!);
    expect(policy.plan(viewOf(tree))).toEqual({ segment: [] });
    accept(policy, tree, 9999);
    expect(policy.plan(viewOf(tree)).expand?.total).toBe(80);
  });
});
