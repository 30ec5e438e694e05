import { PipelineCosts } from "../../../decoding/costs.ts";
import { DraftTree, type TreeNode } from "../../../decoding/draft-tree.ts";
import { NO_NODE, tokenId } from "../../../decoding/ids.ts";
import type { Plan, Policy, PolicyView } from "../../../decoding/policies/policy.ts";
import { createPolicy } from "../../../decoding/policies/registry.ts";
import type { Walk } from "../../../decoding/segment.ts";

const STAGES = 4;
const COSTS = new PipelineCosts(Array.from({ length: STAGES }, () => [{ nodes: 1, ms: 10 }]));
const IDLE = { linkMs: 0, freeAtMs: 0, ahead: 0, dueAtMs: undefined };

/** A policy for four stages, as users name it. */
export const policyOf = (spec: string): Policy => createPolicy(spec, { stageCount: STAGES, costs: COSTS });

/** What a policy sees of four idle stages and a drafter that has nothing to do. */
export const viewOf = (tree: DraftTree, rest: Partial<PolicyView> = {}): PolicyView => ({
  tree,
  nowMs: 0,
  inFlight: 0,
  stageCount: STAGES,
  firstStage: IDLE,
  costs: COSTS,
  canDraft: true,
  drafting: false,
  ...rest,
});

export const rootOnly = (): DraftTree =>
  new DraftTree({ parent: NO_NODE, token: tokenId(1), position: 7 }, 0);

/** `count` candidates below a root, `perNode` to a node, level by level; which score well depends on `seed`. */
export function candidates(count: number, perNode: number, seed: number) {
  const parents = Array.from({ length: count }, (_, i) => Math.floor(i / perNode) - 1);
  const tokens = parents.map((_, i) => 10 + i);
  const scores: number[] = [];
  for (const [i, parent] of parents.entries()) {
    const step = 0.05 + ((Math.imul(i + 1, seed + 7919) >>> 3) % 1000) / 500;
    scores.push((parent < 0 ? 0 : scores[parent]!) - step);
  }
  return { parents, tokens, scores };
}

/** Takes what a policy sends until it has nothing more to do, as if the first stage were always free. */
export function sendAll(policy: Policy, tree: DraftTree, rest: Partial<PolicyView> = {}): TreeNode[][] {
  const segments: TreeNode[][] = [];
  for (;;) {
    const plan: Plan = policy.plan(viewOf(tree, { canDraft: false, ...rest }));
    if (plan.segment.length === 0) return segments;
    segments.push([...plan.segment]);
    tree.take(plan.segment);
  }
}

/** The verifier accepts the root and says that `next` follows. */
export function accept(policy: Policy, tree: DraftTree, next: number): boolean {
  const { id, position } = tree.root;
  const walk: Walk = { nodes: [id], tokens: [tokenId(next)], position: position + 1 };
  const hit = tree.advance(walk);
  policy.rootMoved(hit);
  return hit;
}
