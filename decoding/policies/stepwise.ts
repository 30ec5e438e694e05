import type { TreeNode } from "../draft-tree.ts";
import { breadthFirst, cutLengths } from "./cutting.ts";
import { type DraftSize, mayPublish, NOTHING, type Plan, type Policy, type PolicyView } from "./policy.ts";

export interface StepwiseOptions {
  readonly name: string;
  /** Fresh tree after the prompt and after each miss. */
  readonly fresh: DraftSize;
  /** Tree asked for whenever the root moved to a known node; undefined: the tree only shrinks. */
  readonly expansion?: DraftSize;
  /** In which order nodes are sent. */
  readonly order: "score" | "breadth";
  /** Greatest segment of a fresh tree. */
  readonly segment: number;
  /** Greatest later segment. */
  readonly appended: number;
  readonly prunes: boolean;
}

/**
 * The tree cut into segments that follow each other through the stages, and verified step by step: the root
 * moves on while later segments are under way, and what is not below it is pruned. After a miss a fresh tree.
 * Unlike FlowSpec's reference this has no turns: a segment leaves as soon as the first stage can take one.
 */
export class StepwisePolicy implements Policy {
  readonly name: string;
  readonly rescore = false;
  readonly prunes: boolean;
  readonly #options: StepwiseOptions;
  /** What to ask the drafter for next, if anything. */
  #wanted: DraftSize | undefined;
  /** A fresh tree has been asked for and not been cut yet. */
  #fresh = true;
  /** Lengths of the segments that the fresh tree is cut into, those not sent yet. */
  #cuts: number[] = [];

  constructor(options: StepwiseOptions) {
    this.name = options.name;
    this.prunes = options.prunes;
    this.#options = options;
    this.#wanted = options.fresh;
  }

  rootMoved(hit: boolean): void {
    this.#wanted = hit ? this.#options.expansion : this.#options.fresh;
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
    if (this.#fresh && view.drafting) return NOTHING;
    return this.#cut(view);
  }

  #cut(view: PolicyView): Plan {
    const waiting = this.#inOrder(view.tree.waiting());
    if (waiting.length === 0) return NOTHING;
    if (this.#fresh) {
      this.#fresh = false;
      this.#cuts = cutLengths(waiting.length, view.stageCount + 1, this.#options.segment);
    }
    const length = this.#cuts.shift() ?? this.#options.appended;
    // Score order already has parents first, but for nodes whose scores are equal to the last bit.
    return { segment: waiting.slice(0, length).sort(breadthFirst) };
  }

  #inOrder(waiting: TreeNode[]): TreeNode[] {
    return this.#options.order === "score" ? waiting : waiting.sort(breadthFirst);
  }
}
