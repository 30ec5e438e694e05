import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DraftTree, TreeNode } from "../../../decoding/draft-tree.ts";
import type { Plan, PolicyView } from "../../../decoding/policies/policy.ts";
import { drawFrom, ScriptedPipeline } from "../scripted-pipeline.ts";
import { accept, candidates, policyOf, rootOnly, sendAll, viewOf } from "./policy-view.ts";
import { WatchedPolicy } from "./watched-policy.ts";

function nodesOf(tree: DraftTree): TreeNode[] {
  const nodes = [tree.root];
  for (const node of nodes) nodes.push(...node.children.values());
  return nodes;
}

/** The segment that PipeDec should send next, found from all nodes of the tree at once. */
function layerByTheBook(tree: DraftTree, width: number): number[] {
  if (!tree.root.sent) return [tree.root.id];
  const nodes = nodesOf(tree);
  const deepest = Math.max(...nodes.filter(({ sent }) => sent).map(({ position }) => position));
  const next = nodes.filter((node) => {
    const parent = tree.get(node.parent);
    return !node.sent && node.position === deepest + 1 && parent?.sent === true;
  });
  return next
    .toSorted((a, b) => b.score - a.score || a.order - b.order)
    .slice(0, width)
    .map(({ id }) => id);
}

describe("pipedec", () => {
  test("asks for as many layers as the pipeline holds beside the root", () => {
    const tree = rootOnly();
    const expand = policyOf("pipedec").plan(viewOf(tree)).expand;
    expect(expand).toEqual({
      growth: "layers",
      topK: 16,
      batch: 16,
      depth: 4,
      total: 80,
      minProbability: 0,
      coupled: true,
    });
    const far = { linkMs: 10, freeAtMs: 0, ahead: 0, dueAtMs: undefined };
    // Five links of one stage's time each hold five segments more.
    expect(policyOf("pipedec").plan(viewOf(tree, { firstStage: far })).expand?.depth).toBe(9);
    const chosen = policyOf("pipedec:depth=3,width=4,topK=2,coupled=0").plan(viewOf(tree)).expand;
    expect(chosen).toMatchObject({ depth: 2, total: 12, batch: 4, topK: 2, coupled: false });
  });

  test("sends the root alone and at once, then layer by layer the best of each", () => {
    const policy = policyOf("pipedec:width=3");
    const tree = rootOnly();
    expect(policy.plan(viewOf(tree)).expand).toBeDefined();
    expect(sendAll(policy, tree, { drafting: true })).toEqual([[tree.root]]);
    tree.graft(tree.root, candidates(40, 3, 1), false);
    const layers = sendAll(policy, tree);
    expect(layers.map((layer) => new Set(layer.map(({ position }) => position)).size)).toEqual([1, 1, 1]);
    expect(layers.map(([first]) => first!.position)).toEqual([8, 9, 10]);
    expect(layers.every(({ length }) => length <= 3)).toBe(true);
  });

  test("drafts anew whenever the root has moved, and sends a new root at once", () => {
    const policy = policyOf("pipedec");
    const tree = rootOnly();
    policy.plan(viewOf(tree));
    tree.graft(tree.root, candidates(40, 3, 1), false);
    sendAll(policy, tree);
    const [child] = [...tree.root.children.keys()];
    expect(accept(policy, tree, child!)).toBe(true);
    expect(policy.plan(viewOf(tree)).expand).toBeDefined();
    expect(policy.plan(viewOf(tree)).expand).toBeUndefined();
    expect(accept(policy, tree, 9999)).toBe(false);
    expect(policy.plan(viewOf(tree)).expand).toBeDefined();
    expect(policy.plan(viewOf(tree, { drafting: true })).segment).toEqual([tree.root]);
  });

  test("each segment is the best of the layer below the deepest one sent, in any order of events", async () => {
    const draws = fc.array(fc.nat(10_000), { minLength: 50, maxLength: 300 });
    await fc.assert(
      fc.asyncProperty(draws, fc.integer({ min: 1, max: 3 }), fc.boolean(), async (numbers, width, lossy) => {
        const inspect = ({ segment }: Plan, { tree }: PolicyView) => {
          if (segment.length > 0)
            expect(segment.map(({ id }) => Number(id))).toEqual(layerByTheBook(tree, width));
        };
        const policy = new WatchedPolicy(policyOf(`pipedec:width=${width}`), inspect);
        const pipeline = new ScriptedPipeline([1, 2, 3], 30, policy, drawFrom(numbers));
        await pipeline.run(lossy ? 25 : Number.POSITIVE_INFINITY);
        expect(pipeline.flow.ended).toBe(true);
      }),
    );
  });
});
