import type { TreeNode } from "../draft-tree.ts";
import { type DraftSize, mayPublish, NOTHING, type Plan, type Policy, type PolicyView } from "./policy.ts";

/** Sizes of FlowSpec; the names in brackets are the reference implementation's. */
export interface FlowspecSizes {
  /** Fresh tree after the prompt and after each miss [init_total_token, init_topk, init_depth]. */
  readonly initial: DraftSize;
  /** Tree asked for whenever the root moved to a known node [expand_total_token, …]. */
  readonly expansion: DraftSize;
  /** Greatest segment of a fresh tree [init_subseq_token]. */
  readonly segmentNodes: number;
  /** Greatest later segment [expand_subseq_token]; Infinity sends all that waits. */
  readonly appendedNodes: number;
  /**
   * After a miss: `wait` holds the new root back until the fresh tree is there and cuts both together, as
   * the reference does; `send` lets the root go at once and the tree follow.
   */
  readonly restart: "wait" | "send";
  /** Waiting nodes whose path is less likely than this are not sent. */
  readonly minProbability: number;
}

/** The reference's evaluation settings, for wide devices (algorithm A2, table). */
export const PAPER_SIZES: FlowspecSizes = {
  initial: { topK: 10, depth: 6, total: 80 },
  expansion: { topK: 10, depth: 6, total: 64 },
  segmentNodes: 16,
  appendedNodes: Number.POSITIVE_INFINITY,
  restart: "wait",
  minProbability: 0,
};

/**
 * FlowSpec (arXiv 2507.02620): the tree in order of path score, cut into segments that follow each other
 * through the stages; verified step by step; pruned in flight; expanded whenever the root moves on; a
 * fresh tree after a miss. Unlike the reference it has no turns: a segment leaves as soon as the first
 * stage can take one.
 */
export class Flowspec implements Policy {
  readonly name = "flowspec";
  readonly rescore = false;
  readonly #sizes: FlowspecSizes;
  /** What to ask the drafter for next, if anything. */
  #wanted: DraftSize | undefined;
  /** A fresh tree has been asked for and not been cut yet. */
  #fresh = true;
  /** Lengths of the segments that the fresh tree is cut into, those not sent yet. */
  #cuts: number[] = [];

  constructor(sizes: FlowspecSizes) {
    this.#sizes = sizes;
    this.#wanted = sizes.initial;
  }

  rootMoved(hit: boolean): void {
    this.#wanted = hit ? this.#sizes.expansion : this.#sizes.initial;
    if (!hit) this.#cuts = [];
    this.#fresh = this.#fresh || !hit;
  }

  plan(view: PolicyView): Plan {
    if (this.#wanted !== undefined && view.canDraft) {
      const expand = this.#wanted;
      this.#wanted = undefined;
      return { segment: [], expand };
    }
    if (!mayPublish(view)) return NOTHING;
    const mustWait = this.#fresh && view.drafting && this.#sizes.restart === "wait";
    if (mustWait) return NOTHING;
    const { root } = view.tree;
    if (!root.sent && this.#sizes.restart === "send") return { segment: [root] };
    return this.#cut(view);
  }

  #cut(view: PolicyView): Plan {
    const floor = Math.log(this.#sizes.minProbability);
    const waiting = view.tree.waiting().filter((node) => node.score >= floor);
    if (waiting.length === 0) return NOTHING;
    if (this.#fresh && !view.drafting) {
      this.#fresh = false;
      this.#cuts = cutLengths(waiting.length, view.stageCount + 1, this.#sizes.segmentNodes);
    }
    const length = this.#cuts.shift() ?? this.#sizes.appendedNodes;
    return { segment: withParentsFirst(waiting.slice(0, length)) };
  }
}

/**
 * A fresh tree's segment lengths (algorithm A2, "Cutting"): near-equal parts, the smaller first, one for
 * each stage and one for the drafter's rank; parts of `cap` and a remainder when those would be too long.
 */
export function cutLengths(nodes: number, parts: number, cap: number): number[] {
  const base = Math.floor(nodes / parts);
  if (base <= cap) {
    const larger = nodes - base * parts;
    const lengths = Array.from({ length: parts }, (_, index) => base + (index >= parts - larger ? 1 : 0));
    return lengths.filter((length) => length > 0);
  }
  const lengths = new Array<number>(Math.floor(nodes / cap)).fill(cap);
  if (nodes % cap > 0) lengths.push(nodes % cap);
  return lengths;
}

/** Score order already has parents first, but for nodes whose scores are equal to the last bit. */
function withParentsFirst(nodes: TreeNode[]): TreeNode[] {
  return nodes.sort((a, b) => a.position - b.position || b.score - a.score || a.order - b.order);
}
