import type { NodeId, TokenId } from "./ids.ts";

/**
 * A run of draft-tree nodes that travels through the stages as one message, as parallel arrays.
 * Parents come before their children; a parent is either in the same segment or was sent earlier.
 * Identity is the node id, never the array index: stages may drop dead nodes on the way.
 */
export interface SegmentNodes {
  /** [nodes] node ids. */
  readonly ids: Uint32Array;
  /** [nodes] parent node ids; NO_NODE for the first token of a prompt. */
  readonly parents: Uint32Array;
  /** [nodes] token ids. */
  readonly tokens: Uint32Array;
  /** [nodes] absolute positions; a child's is its parent's plus one. */
  readonly positions: Uint32Array;
}

export const EMPTY_NODES: SegmentNodes = {
  ids: new Uint32Array(0),
  parents: new Uint32Array(0),
  tokens: new Uint32Array(0),
  positions: new Uint32Array(0),
};

/** The nodes at `indices`, in that order, as a new segment. */
export function selectNodes(nodes: SegmentNodes, indices: readonly number[]): SegmentNodes {
  const pick = (from: Uint32Array) => Uint32Array.from(indices, (index) => from[index]!);
  return {
    ids: pick(nodes.ids),
    parents: pick(nodes.parents),
    tokens: pick(nodes.tokens),
    positions: pick(nodes.positions),
  };
}

/**
 * What one walk of the verifier confirmed. `tokens[i]` is the target's token after `nodes[i]`, so
 * `tokens[i]` is the token of `nodes[i + 1]`, and the last token is the one the walk now waits for:
 * it is already certain, only its node has not been verified (it may not even have been drafted).
 */
export interface Walk {
  /** Newly accepted node ids, in path order; at least one. */
  readonly nodes: readonly NodeId[];
  /** The target's token after each of them; same length. */
  readonly tokens: readonly TokenId[];
  /** Absolute position of `tokens[0]`. */
  readonly position: number;
}
