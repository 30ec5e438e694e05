import { type NodeId, nodeId, type TokenId, tokenId } from "./ids.ts";
import type { SegmentNodes, Walk } from "./segment.ts";

export interface TreeNode {
  readonly id: NodeId;
  readonly parent: NodeId;
  readonly token: TokenId;
  /** Absolute position of the token. */
  readonly position: number;
  /** Natural-log probability of the path from the root; 0 for the root, never above the parent's. */
  score: number;
  /** True once the node went into a segment. */
  sent: boolean;
  /** Order of arrival in the tree: breaks ties between equal scores. */
  readonly order: number;
  readonly children: Map<TokenId, TreeNode>;
}

/** Candidates below one node, as a drafter gives them: parents first, -1 for children of that node. */
export interface Candidates {
  readonly parents: ArrayLike<number>;
  readonly tokens: ArrayLike<number>;
  /** Path scores relative to the node that the candidates hang on. */
  readonly scores: ArrayLike<number>;
}

/**
 * The draft tree of one session. The root's token is certain (the target chose it) but its own logits
 * are not known yet; everything below it is a guess. A verifier's walk moves the root down: what is not
 * below the new root is dropped, what is keeps its nodes, whether they are in flight or waiting
 * (FlowSpec, section on pruning and dynamic expansion).
 */
export class DraftTree {
  #root: TreeNode;
  #nodes = new Map<NodeId, TreeNode>();
  #nextId: number;
  #nextOrder = 0;
  /** Committed nodes since the tree began: token by position, to re-root candidates that come late. */
  readonly #path = new Map<number, TokenId>();

  /** `parent` is the last committed node; ids from `firstId` on are free. */
  constructor(root: { parent: NodeId; token: TokenId; position: number }, firstId: number) {
    this.#nextId = firstId;
    this.#root = this.#create(root.parent, root.token, root.position, 0);
  }

  get root(): TreeNode {
    return this.#root;
  }

  /** Nodes in the tree, the root included. */
  get size(): number {
    return this.#nodes.size;
  }

  get(id: NodeId): TreeNode | undefined {
    return this.#nodes.get(id);
  }

  /**
   * Moves the root to the node that the walk now waits for. Returns true when that token was in the
   * tree (a hit), false when it had to be made (a miss: nothing of the old tree survives).
   */
  advance(walk: Walk): boolean {
    const last = walk.nodes.at(-1);
    const next = walk.tokens.at(-1);
    if (last === undefined || next === undefined) throw new Error("a walk names at least one node");
    const head = this.#nodes.get(last);
    for (let i = 0; i < walk.tokens.length; i++) this.#path.set(walk.position + i, walk.tokens[i]!);
    this.#path.set(this.#root.position, this.#root.token);
    const position = walk.position + walk.tokens.length - 1;
    const known = head?.children.get(next);
    this.#nodes = new Map();
    if (known === undefined) {
      this.#root = this.#create(last, next, position, 0);
      return false;
    }
    this.#root = known;
    this.#keepSubtree(known);
    return true;
  }

  /**
   * Adds candidates below node `base` with token `baseToken` at `position`, which may have been committed
   * since they were asked for: then those below the present root are kept and the rest dropped. A node is
   * identified by its token path. Known nodes keep their place; `rescore` gives waiting ones the fresh
   * score. Returns the number of new nodes.
   */
  graft(base: { id: NodeId; position: number }, candidates: Candidates, rescore: boolean): number {
    const at = this.#nodes.get(base.id);
    const anchors = at ? { node: at, under: -1 } : this.#reRoot(base.position, candidates);
    if (anchors === undefined) return 0;
    const baseScore = anchors.under < 0 ? 0 : candidates.scores[anchors.under]!;
    const placed = new Map<number, TreeNode>([[anchors.under, anchors.node]]);
    let added = 0;
    for (let i = 0; i < candidates.tokens.length; i++) {
      const parent = placed.get(candidates.parents[i]!);
      if (parent === undefined || i === anchors.under) continue;
      const token = tokenId(candidates.tokens[i]!);
      const score = Math.min(anchors.node.score + candidates.scores[i]! - baseScore, parent.score);
      let node = parent.children.get(token);
      if (node === undefined) {
        node = this.#create(parent.id, token, parent.position + 1, score);
        parent.children.set(token, node);
        added++;
      } else if (rescore) {
        node.score = score;
      }
      placed.set(i, node);
    }
    return added;
  }

  /** Nodes not sent yet, the root among them, best score first; parents always before their children. */
  waiting(): TreeNode[] {
    const nodes = [...this.#nodes.values()].filter((node) => !node.sent);
    return nodes.sort((a, b) => b.score - a.score || a.order - b.order);
  }

  /** Marks the nodes as sent and gives them as a segment, in the order given. */
  take(nodes: readonly TreeNode[]): SegmentNodes {
    for (const node of nodes) node.sent = true;
    return {
      ids: Uint32Array.from(nodes, (node) => node.id),
      parents: Uint32Array.from(nodes, (node) => node.parent),
      tokens: Uint32Array.from(nodes, (node) => node.token),
      positions: Uint32Array.from(nodes, (node) => node.position),
    };
  }

  /** First id that was never used: where a replay of this session goes on. */
  get nextId(): number {
    return this.#nextId;
  }

  #create(parent: NodeId, token: TokenId, position: number, score: number): TreeNode {
    const id = nodeId(this.#nextId++);
    const order = this.#nextOrder++;
    const node = { id, parent, token, position, score, sent: false, order, children: new Map() };
    this.#nodes.set(id, node);
    return node;
  }

  #keepSubtree(root: TreeNode): void {
    const rootScore = root.score;
    const pending = [root];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      node.score -= rootScore;
      this.#nodes.set(node.id, node);
      pending.push(...node.children.values());
    }
  }

  /** Index of the candidate that is the present root, following the committed tokens from `position` down. */
  #reRoot(position: number, candidates: Candidates): { node: TreeNode; under: number } | undefined {
    let under = -1;
    for (let at = position + 1; at <= this.#root.position; at++) {
      const token = at === this.#root.position ? this.#root.token : this.#path.get(at);
      under = findChild(candidates, under, token);
      if (under < 0) return undefined;
    }
    return under < 0 ? undefined : { node: this.#root, under };
  }
}

function findChild(candidates: Candidates, parent: number, token: TokenId | undefined): number {
  for (let i = 0; i < candidates.tokens.length; i++) {
    if (candidates.parents[i] === parent && candidates.tokens[i] === token) return i;
  }
  return -1;
}
