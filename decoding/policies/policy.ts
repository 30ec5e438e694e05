import type { PipelineCosts } from "../costs.ts";
import type { DraftTree, TreeNode } from "../draft-tree.ts";
import type { FirstStageView } from "../first-stage.ts";
import type { Walk } from "../segment.ts";

/**
 * How the drafter grows a tree. `level`: as EAGLE-2 does, the best `batch` of each level are deepened and
 * the best `total` of all that was found are kept (algorithm A2). `layers`: the same, but of each level the
 * best `batch` are kept (PipeDec). `best`: the best `batch` of all nodes not yet deepened, whatever their
 * level; what is found is told pass by pass.
 */
export const GROWTHS = ["level", "layers", "best"] as const;
export type Growth = (typeof GROWTHS)[number];

/** What tree the drafter is asked for. */
export interface DraftSize {
  readonly growth: Growth;
  /** Candidates a node: k. */
  readonly topK: number;
  /** Nodes that a drafter pass deepens. */
  readonly batch: number;
  /** Levels below the first: candidates reach level depth + 1. */
  readonly depth: number;
  /** Candidates in all. */
  readonly total: number;
  /** Nodes whose path is less likely are not deepened; 0 for no such bound. */
  readonly minProbability: number;
  /** At temperature > 0: rank by the noise that the target will add, too; false for comparison. */
  readonly coupled: boolean;
}

/** What a policy may look at when it decides. */
export interface PolicyView {
  readonly tree: DraftTree;
  /** The flow's clock, milliseconds. */
  readonly nowMs: number;
  /** Segments sent and not yet reported by the verifier. */
  readonly inFlight: number;
  readonly stageCount: number;
  readonly firstStage: FirstStageView;
  /** Measured t(n) of every stage, kept fresh. */
  readonly costs: PipelineCosts;
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
  /** When to ask the policy again if nothing else happens, on the flow's clock. */
  readonly wakeAtMs?: number;
}

/**
 * Decides what is sent when, for one session. Synchronous, and pure but for its own memory: the tree
 * manager calls `plan` after every event until it gives nothing to do, and tells it when the root has moved.
 */
export interface Policy {
  readonly name: string;
  /** Whether new candidates may change the score of nodes that still wait. */
  readonly rescore: boolean;
  /** False: stages compute nodes that were sent even when they are dead by then. */
  readonly prunes: boolean;
  /** The verifier's walk is about to move the root of `tree`: what was guessed, beside what came. */
  verified?(tree: DraftTree, walk: Walk): void;
  /** The root moved: to a node of the tree (`hit`), or to a new one, all else having died. */
  rootMoved(hit: boolean): void;
  plan(view: PolicyView): Plan;
}

/** What a policy is made for. */
export interface PolicySetting {
  readonly stageCount: number;
  readonly costs: PipelineCosts;
  /** Stages take turns on the same cores: what one computes for nothing is taken from the others. */
  readonly sharesCores?: boolean;
}

/** Of parameters that must be whole numbers: the least and the greatest that each may be. */
export type ParameterLimits = Readonly<Record<string, readonly [least: number, greatest: number]>>;

/** A policy as users name it: `name` or `name:key=number,…`. */
export interface PolicyDefinition {
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /** What can be set, with the values that count where nothing is said. */
  readonly parameters: Readonly<Record<string, number>>;
  readonly limits?: ParameterLimits;
  create(parameters: Readonly<Record<string, number>>, setting: PolicySetting): Policy;
}

export const NOTHING: Plan = { segment: [] };

/** One segment may wait at the first stage while another is computed there. */
const AHEAD_MAX = 1;

export type FlowWindow = Pick<PolicyView, "inFlight" | "firstStage" | "stageCount" | "costs">;

/** However long the links seem to be: the stages' rows are not without end. */
export const WINDOW_MAX = 96;

/**
 * Segments that may be on their way at once: one a stage, one at the verifier, one waiting, and as many as
 * the links hold.
 */
export function windowOf({ stageCount, firstStage, costs }: Omit<FlowWindow, "inFlight">): number {
  const linksMs = (stageCount + 1) * firstStage.linkMs;
  return Math.min(WINDOW_MAX, stageCount + 2 + Math.ceil(linksMs / costs.slowestMs(1)));
}

export function mayPublish(view: FlowWindow): boolean {
  return view.firstStage.ahead <= AHEAD_MAX && view.inFlight < windowOf(view);
}
