import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { TreeNode } from "../../../decoding/draft-tree.ts";
import type { Plan, PolicyView } from "../../../decoding/policies/policy.ts";
import { drawFrom, ScriptedPipeline } from "../scripted-pipeline.ts";
import { accept, candidates, policyOf, rootOnly, sendAll, viewOf } from "./policy-view.ts";
import { WatchedPolicy } from "./watched-policy.ts";

describe("naive", () => {
  test("sends the whole tree level by level in near-equal segments, one a stage and one more", () => {
    const policy = policyOf("naive");
    const tree = rootOnly();
    const { expand } = policy.plan(viewOf(tree));
    expect(expand).toMatchObject({
      growth: "level",
      total: 80,
      topK: 10,
      batch: 10,
      depth: 6,
      coupled: true,
    });
    expect(policy.plan(viewOf(tree, { drafting: true }))).toEqual({ segment: [] });
    tree.graft(tree.root, candidates(80, 4, 3), false);
    const segments = sendAll(policy, tree, { canDraft: true });
    expect(segments.map(({ length }) => length)).toEqual([16, 16, 16, 16, 17]);
    const positions = segments.flat().map(({ position }) => position);
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
    expect(policy.prunes).toBe(false);
  });

  test("pays no heed to verified tokens until the whole round is reported, then drafts for the new root", () => {
    const policy = policyOf("naive");
    const tree = rootOnly();
    policy.plan(viewOf(tree));
    tree.graft(tree.root, candidates(80, 4, 3), false);
    sendAll(policy, tree);
    const [child] = [...tree.root.children.keys()];
    accept(policy, tree, child!);
    expect(policy.plan(viewOf(tree, { inFlight: 4 }))).toEqual({ segment: [] });
    accept(policy, tree, 9999);
    expect(policy.plan(viewOf(tree, { inFlight: 1 }))).toEqual({ segment: [] });
    expect(policy.plan(viewOf(tree, { inFlight: 0 })).expand?.total).toBe(80);
    expect(policy.plan(viewOf(tree, { drafting: true }))).toEqual({ segment: [] });
    expect(policy.plan(viewOf(tree)).segment).toEqual([tree.root]);
  });

  test("begins a round only when nothing is under way, in any order of events", async () => {
    const draws = fc.array(fc.nat(10_000), { minLength: 50, maxLength: 300 });
    await fc.assert(
      fc.asyncProperty(draws, fc.boolean(), async (numbers, lossy) => {
        let round = new Set<TreeNode>();
        let sizes: number[] = [];
        const inspect = ({ segment, expand }: Plan, { tree, inFlight, stageCount }: PolicyView) => {
          if (expand !== undefined) expect(inFlight).toBe(0);
          if (segment.length === 0) return;
          if (!segment.every((node) => round.has(node))) {
            expect(inFlight).toBe(0);
            expect(segment).toContain(tree.root);
            round = new Set(tree.waiting());
            sizes = [];
          }
          sizes.push(segment.length);
          expect(sizes.length).toBeLessThanOrEqual(stageCount + 1);
          // What has died before it could leave makes a segment shorter, never longer.
          expect(segment.length).toBeLessThanOrEqual(sizes[0]! + 1);
        };
        const policy = new WatchedPolicy(policyOf("naive:total=12"), inspect);
        const pipeline = new ScriptedPipeline([1, 2, 3], 30, policy, drawFrom(numbers));
        await pipeline.run(lossy ? 25 : Number.POSITIVE_INFINITY);
        expect(pipeline.flow.ended).toBe(true);
      }),
    );
  });
});
