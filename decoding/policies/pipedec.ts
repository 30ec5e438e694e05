import type { TreeNode } from "../draft-tree.ts";
import {
  type DraftSize,
  mayPublish,
  NOTHING,
  type Plan,
  type Policy,
  type PolicyDefinition,
  type PolicyView,
  windowOf,
} from "./policy.ts";

/** However long the links are: so deep below the root hardly a guess is right. */
const LAYERS_MAX = 64;

const PARAMETERS = {
  /** Nodes of a layer. */
  width: 16,
  /** Candidates a node. */
  topK: 16,
  /** Layers drafted below the root; 0: as many as the pipeline and its links hold. */
  depth: 0,
  /** At temperature > 0: 1 ranks by the noise that the target will add, too; 0 does not. */
  coupled: 1,
};

export const pipedec: PolicyDefinition = {
  name: "pipedec",
  summary: "PipeDec (arXiv 2504.04104): the tree layer by layer, the best nodes of one layer a segment",
  parameters: PARAMETERS,
  limits: { width: [1, 64], topK: [1, 64], depth: [0, LAYERS_MAX], coupled: [0, 1] },
  create: (parameters) => new Pipedec({ ...PARAMETERS, ...parameters }),
};

/**
 * The root alone is the first segment, its best children are the second, and each later one holds the best
 * children of the deepest layer that was sent and survives (algorithm A6). Whenever the root has moved, the
 * tree is drafted anew from it; layers drafted before that go on leaving, so that no stage waits.
 */
class Pipedec implements Policy {
  readonly name = "pipedec";
  readonly rescore = true;
  readonly prunes = true;
  readonly #parameters: typeof PARAMETERS;
  #wantsDraft = true;

  constructor(parameters: typeof PARAMETERS) {
    this.#parameters = parameters;
  }

  rootMoved(): void {
    this.#wantsDraft = true;
  }

  plan(view: PolicyView): Plan {
    if (this.#wantsDraft && view.canDraft) {
      this.#wantsDraft = false;
      return { segment: [], expand: this.#size(view) };
    }
    return mayPublish(view) ? { segment: this.#nextLayer(view.tree.root) } : NOTHING;
  }

  #size(view: PolicyView): DraftSize {
    const { width, topK, depth, coupled } = this.#parameters;
    // The root is one of the segments that may be under way.
    const layers = depth || Math.min(LAYERS_MAX, windowOf(view) - 1);
    return {
      growth: "layers",
      topK,
      batch: width,
      depth: layers - 1,
      total: layers * width,
      minProbability: 0,
      coupled: coupled !== 0,
    };
  }

  #nextLayer(root: TreeNode): TreeNode[] {
    if (!root.sent) return [root];
    let deepest = [root];
    for (let below = deepest; below.length > 0; below = childrenOf(below, true)) deepest = below;
    const layer = childrenOf(deepest, false).sort((a, b) => b.score - a.score || a.order - b.order);
    return layer.slice(0, this.#parameters.width);
  }
}

const childrenOf = (nodes: readonly TreeNode[], sent: boolean): TreeNode[] =>
  nodes.flatMap((node) => [...node.children.values()].filter((child) => child.sent === sent));
