import type { DraftTree, TreeNode } from "../draft-tree.ts";

/** How large a tree the drafter is asked for (algorithm A2): k candidates a node, levels, nodes kept. */
export interface DraftSize {
  readonly topK: number;
  /** Drafter passes after the first: candidates reach level depth + 1. */
  readonly depth: number;
  readonly total: number;
}

/** What a policy may look at when it decides. */
export interface PolicyView {
  readonly tree: DraftTree;
  /** Segments sent and not yet reported by the verifier. */
  readonly inFlight: number;
  /** Of those, segments that the first stage has not finished. */
  readonly queued: number;
  readonly stageCount: number;
  /** False when there is no drafter, or when it doesn't answer in time. */
  readonly canDraft: boolean;
  /** True while the drafter works on an expansion for the present root. */
  readonly drafting: boolean;
}

export interface Plan {
  /** Waiting nodes to send now as one segment, parents first; empty for none. */
  readonly segment: readonly TreeNode[];
  /** Asks the drafter to expand the present root; replaces an expansion that still runs. */
  readonly expand?: DraftSize;
}

/**
 * Decides what is sent when, for one session. Pure and synchronous: the tree manager calls `plan` after
 * every event until it gives nothing to do, and tells it when the root has moved.
 */
export interface Policy {
  readonly name: string;
  /** Whether new candidates may change the score of nodes that still wait. */
  readonly rescore: boolean;
  /** The root moved: to a node of the tree (`hit`), or to a new one, all else having died. */
  rootMoved(hit: boolean): void;
  plan(view: PolicyView): Plan;
}

export const NOTHING: Plan = { segment: [] };

/** Segments that may be on their way at once: one a stage, one at the verifier, one waiting. */
export const windowOf = (stageCount: number): number => stageCount + 2;

/** One segment may wait at the first stage while another is computed there. */
const QUEUED_MAX = 2;

export type FlowWindow = Pick<PolicyView, "inFlight" | "queued" | "stageCount">;

export function mayPublish(view: FlowWindow): boolean {
  return view.queued < QUEUED_MAX && view.inFlight < windowOf(view.stageCount);
}
