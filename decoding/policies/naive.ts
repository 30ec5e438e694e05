import type { DraftTree, TreeNode } from "../draft-tree.ts";
import type { NodeId } from "../ids.ts";
import { breadthFirst, cutLengths } from "./cutting.ts";
import { LEVEL_TREE, LEVEL_TREE_LIMITS, levelTreeSize } from "./level-tree.ts";
import {
  type DraftSize,
  mayPublish,
  NOTHING,
  type Plan,
  type Policy,
  type PolicyDefinition,
  type PolicyView,
} from "./policy.ts";

/** FlowSpec's baseline of that name, also called Chunk-PP (algorithm A6). */
export const naive: PolicyDefinition = {
  name: "naive",
  summary:
    "rounds: a whole tree goes through the pipeline in near-equal segments, then the next one is drafted",
  parameters: LEVEL_TREE,
  limits: LEVEL_TREE_LIMITS,
  create: (parameters) => new Naive(levelTreeSize(parameters)),
};

/**
 * The verifier accepts step by step, so the root moves while a round is under way; this policy looks at it
 * only when the whole round has been reported, as if the tree were verified at once.
 */
class Naive implements Policy {
  readonly name = "naive";
  readonly rescore = false;
  readonly prunes = false;
  readonly #size: DraftSize;
  /** Segments of the round that have not left. */
  #segments: TreeNode[][] = [];
  /** Root for which a tree was asked. */
  #drafted: NodeId | undefined;

  constructor(size: DraftSize) {
    this.#size = size;
  }

  rootMoved(): void {}

  plan(view: PolicyView): Plan {
    const { tree } = view;
    this.#segments = this.#segments.map((nodes) => livePart(tree, nodes)).filter(({ length }) => length > 0);
    if (this.#segments.length === 0) {
      if (view.inFlight > 0 || tree.root.sent) return NOTHING;
      if (view.canDraft && this.#drafted !== tree.root.id) {
        this.#drafted = tree.root.id;
        return { segment: [], expand: this.#size };
      }
      if (view.drafting) return NOTHING;
    }
    if (!mayPublish(view)) return NOTHING;
    if (this.#segments.length === 0) this.#segments = cutTree(view);
    return { segment: this.#segments.shift() ?? [] };
  }
}

/** What was pruned from the tree before it could leave need not leave. */
const livePart = (tree: DraftTree, nodes: TreeNode[]): TreeNode[] =>
  nodes.filter((node) => tree.get(node.id) === node);

/** The whole tree, level by level, in one segment a stage and one for the drafter's rank. */
function cutTree({ tree, stageCount }: PolicyView): TreeNode[][] {
  const nodes = tree.waiting().sort(breadthFirst);
  let from = 0;
  return cutLengths(nodes.length, stageCount + 1, Number.POSITIVE_INFINITY).map((length) => {
    from += length;
    return nodes.slice(from - length, from);
  });
}
