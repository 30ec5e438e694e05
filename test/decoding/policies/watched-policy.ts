import { expect } from "bun:test";
import type { DraftTree, TreeNode } from "../../../decoding/draft-tree.ts";
import {
  type DraftSize,
  type Plan,
  type Policy,
  type PolicyView,
  windowOf,
} from "../../../decoding/policies/policy.ts";
import type { Walk } from "../../../decoding/segment.ts";

/** A plan that was something to do, and what it was made from. */
export interface Planned {
  readonly segment: readonly TreeNode[];
  readonly expand: DraftSize | undefined;
  readonly root: TreeNode;
  readonly inFlight: number;
  readonly stageCount: number;
}

/**
 * Passes everything on to a policy, and holds each plan against what every plan must be. `inspect` looks at
 * a plan before its nodes are marked as sent.
 */
export class WatchedPolicy implements Policy {
  readonly plans: Planned[] = [];
  readonly #policy: Policy;
  readonly #inspect: (plan: Plan, view: PolicyView) => void;
  readonly #sent = new Set<TreeNode>();
  #plannedAtMs = -1;
  #plansSinceEvent = 0;

  constructor(policy: Policy, inspect: (plan: Plan, view: PolicyView) => void = () => {}) {
    this.#policy = policy;
    this.#inspect = inspect;
  }

  get name(): string {
    return this.#policy.name;
  }

  get rescore(): boolean {
    return this.#policy.rescore;
  }

  get prunes(): boolean {
    return this.#policy.prunes;
  }

  verified(tree: DraftTree, walk: Walk): void {
    this.#policy.verified?.(tree, walk);
  }

  rootMoved(hit: boolean): void {
    this.#policy.rootMoved(hit);
  }

  plan(view: PolicyView): Plan {
    const plan = this.#policy.plan(view);
    this.#refuseEndlessPlans(view);
    this.#checkSegment(plan.segment, view);
    this.#inspect(plan, view);
    if (plan.segment.length > 0 || plan.expand !== undefined) {
      const { inFlight, stageCount } = view;
      const { segment, expand } = plan;
      this.plans.push({ segment, expand, root: view.tree.root, inFlight, stageCount });
    }
    return plan;
  }

  /** The clock of these tests stands still until the next event. */
  #refuseEndlessPlans({ nowMs, tree }: PolicyView): void {
    this.#plansSinceEvent = nowMs === this.#plannedAtMs ? this.#plansSinceEvent + 1 : 1;
    this.#plannedAtMs = nowMs;
    // At most one for each node, one to ask the drafter, and the last one that has nothing to do.
    expect(this.#plansSinceEvent).toBeLessThanOrEqual(tree.size + 20);
  }

  #checkSegment(segment: readonly TreeNode[], view: PolicyView): void {
    if (segment.length === 0) return;
    expect(view.inFlight).toBeLessThan(windowOf(view));
    for (const node of segment) {
      expect(node.sent || this.#sent.has(node)).toBe(false);
      expect(view.tree.get(node.id)).toBe(node);
      const parent = view.tree.get(node.parent);
      expect(node === view.tree.root || (parent !== undefined && this.#sent.has(parent))).toBe(true);
      this.#sent.add(node);
    }
  }
}
