import { NO_NODE, type NodeId, type TokenId } from "./ids.ts";
import { type SegmentNodes, selectNodes } from "./segment.ts";

/** Added to the attention score of a row that a node must not see; exp() of it is exactly 0. */
export const MASKED = -1e30;

/** The live part of a segment, with the KV row of each node and what each may attend to. */
export interface Admission {
  readonly nodes: SegmentNodes;
  /** [live] KV row that each node's keys and values go to. */
  readonly rows: Int32Array;
  /** [live, capacity] 0 where the node sees a row of the cache as it was before this segment, else MASKED. */
  readonly pastMask: Float32Array;
  /** [live, live] 0 where node i sees node j of this segment (itself and its ancestors), else MASKED. */
  readonly newMask: Float32Array;
}

/** Nodes that a commit moved from the tree to the committed path, in path order. */
export interface Committed {
  readonly ids: readonly NodeId[];
  readonly positions: readonly number[];
  /** Nodes that the commit made dead. */
  readonly dead: readonly NodeId[];
}

interface LiveNode {
  readonly row: number;
  readonly parent: NodeId;
  readonly token: TokenId;
  readonly position: number;
}

/**
 * Which KV row belongs to which node of one session at one stage, and which nodes are alive.
 *
 * Rows never move: a dead node's row goes to a free list and is overwritten by a later node, and until
 * then it is masked. A node is alive when its parent is alive, or when its parent is the head (the last
 * committed node) and its token is the one the target chose after the head. So a commit that comes late
 * or never costs work, but can't change what a node attends to: that follows from parent links alone.
 */
export class LiveRows {
  readonly #pageRows: number;
  /** Uncommitted nodes that hold a row. Committed ones need no entry: every live node sees all of them. */
  readonly #live = new Map<NodeId, LiveNode>();
  readonly #free: number[] = [];
  /** [capacity] mask row of a node that sees the committed path and nothing else. */
  #committedMask = new Float32Array(0);
  /** By position on the committed path. */
  readonly #pathTokens: number[] = [];
  readonly #pathRows: number[] = [];
  #head: NodeId = NO_NODE;
  /** The target's token after the head, once known. */
  #next: TokenId | undefined;

  constructor(pageRows: number) {
    this.#pageRows = pageRows;
  }

  /** Rows to allocate, a multiple of the page size. */
  get capacity(): number {
    return this.#committedMask.length;
  }

  /** Rows in use: the committed path and the live nodes. */
  get liveCount(): number {
    return this.#pathRows.length + this.#live.size;
  }

  /** Tokens of the committed path, by position. */
  get pathTokens(): readonly number[] {
    return this.#pathTokens;
  }

  /** KV rows of the committed path, by position. */
  get pathRows(): readonly number[] {
    return this.#pathRows;
  }

  /** Capacity after `admit` of up to `nodes` more nodes; lets the caller refuse before anything changes. */
  capacityFor(nodes: number): number {
    const rows = Math.max(this.capacity, this.liveCount + nodes);
    return Math.ceil(rows / this.#pageRows) * this.#pageRows;
  }

  /**
   * Gives rows to the nodes that are alive; the others are left out of the result.
   * `committed` nodes extend the committed path (prompt chunks): each must be the head's successor.
   */
  admit(segment: SegmentNodes, committed: boolean): Admission {
    const indices: number[] = [];
    const localIndex = new Map<NodeId, number>();
    for (let index = 0; index < segment.ids.length; index++) {
      const id = segment.ids[index]! as NodeId;
      const parent = segment.parents[index]! as NodeId;
      const token = segment.tokens[index]! as TokenId;
      if (committed) this.#assertExtendsPath(parent, localIndex);
      else if (!localIndex.has(parent) && !this.#isAliveBelow(parent, token)) continue;
      if (localIndex.has(id) || this.#live.has(id)) continue;
      localIndex.set(id, indices.length);
      indices.push(index);
    }
    const nodes = selectNodes(segment, indices);
    const rows = this.#takeRows(indices.length);
    const masks = this.#buildMasks(nodes, localIndex);
    for (let i = 0; i < rows.length; i++) this.#record(nodes, i, rows[i]!, committed);
    return { nodes, rows, ...masks };
  }

  /**
   * Moves `accepted` (and any ancestor whose own commit was missed) to the committed path, then prunes
   * what is not below its last node through a child with token `next`. A repeat changes nothing.
   */
  commit(accepted: readonly NodeId[], next: TokenId): Committed {
    const last = accepted.at(-1);
    if (last === undefined || (last !== this.#head && !this.#live.has(last))) {
      return { ids: [], positions: [], dead: [] };
    }
    const path = this.#pathTo(last);
    for (const { id, node } of path) {
      this.#live.delete(id);
      this.#extendPath(id, node.row, node.token);
    }
    this.#next = next;
    return {
      ids: path.map(({ id }) => id),
      positions: path.map(({ node }) => node.position),
      dead: this.#prune(),
    };
  }

  /**
   * Keeps the first `length` tokens of the committed path and nothing else. What follows is committed nodes whose
   * first has no parent, as at the beginning of a prompt.
   */
  truncate(length: number): void {
    for (const { row } of this.#live.values()) this.#free.push(row);
    this.#live.clear();
    for (const row of this.#pathRows.splice(length)) {
      this.#committedMask[row] = MASKED;
      this.#free.push(row);
    }
    this.#pathTokens.splice(length);
    this.#head = NO_NODE;
    this.#next = undefined;
  }

  /** Begins with a committed path of these tokens, whose rows [0, tokens.length) the caller fills. Only when new. */
  adopt(tokens: ArrayLike<number>): void {
    const rows = this.#takeRows(tokens.length);
    for (let i = 0; i < rows.length; i++) this.#extendPath(NO_NODE, rows[i]!, tokens[i]!);
  }

  #assertExtendsPath(parent: NodeId, localIndex: ReadonlyMap<NodeId, number>): void {
    const previous = localIndex.size === 0 ? this.#head : [...localIndex.keys()].at(-1);
    if (parent !== previous) {
      throw new Error(`committed node follows node ${parent}, but the committed path ends at ${previous}`);
    }
  }

  #isAliveBelow(parent: NodeId, token: TokenId): boolean {
    if (parent === this.#head) return this.#next === undefined || this.#next === token;
    return this.#live.has(parent);
  }

  #takeRows(count: number): Int32Array {
    const grown = this.capacityFor(count);
    if (grown > this.capacity) {
      for (let row = grown - 1; row >= this.capacity; row--) this.#free.push(row);
      const mask = new Float32Array(grown).fill(MASKED);
      mask.set(this.#committedMask);
      this.#committedMask = mask;
    }
    return Int32Array.from({ length: count }, () => this.#free.pop()!);
  }

  #buildMasks(nodes: SegmentNodes, localIndex: ReadonlyMap<NodeId, number>) {
    const count = nodes.ids.length;
    const { capacity } = this;
    const pastMask = new Float32Array(count * capacity);
    const newMask = new Float32Array(count * count).fill(MASKED);
    for (let i = 0; i < count; i++) {
      const parent = nodes.parents[i]! as NodeId;
      const local = localIndex.get(parent);
      if (local === undefined) {
        const row = pastMask.subarray(i * capacity, (i + 1) * capacity);
        row.set(this.#committedMask);
        for (let at = this.#live.get(parent); at !== undefined; at = this.#live.get(at.parent)) {
          row[at.row] = 0;
        }
      } else {
        pastMask.copyWithin(i * capacity, local * capacity, (local + 1) * capacity);
        newMask.copyWithin(i * count, local * count, (local + 1) * count);
      }
      newMask[i * count + i] = 0;
    }
    return { pastMask, newMask };
  }

  #record(nodes: SegmentNodes, index: number, row: number, committed: boolean): void {
    const id = nodes.ids[index]! as NodeId;
    if (committed) {
      this.#extendPath(id, row, nodes.tokens[index]!);
      return;
    }
    this.#live.set(id, {
      row,
      parent: nodes.parents[index]! as NodeId,
      token: nodes.tokens[index]! as TokenId,
      position: nodes.positions[index]!,
    });
  }

  #extendPath(id: NodeId, row: number, token: number): void {
    this.#committedMask[row] = 0;
    this.#pathTokens.push(token);
    this.#pathRows.push(row);
    this.#head = id;
    this.#next = undefined;
  }

  /** Live nodes from below the head down to `id`; empty when it is the head. */
  #pathTo(id: NodeId): { id: NodeId; node: LiveNode }[] {
    const path: { id: NodeId; node: LiveNode }[] = [];
    let at = id;
    for (let node = this.#live.get(at); node !== undefined; node = this.#live.get(at)) {
      path.push({ id: at, node });
      at = node.parent;
    }
    return path.reverse();
  }

  /** Parents were admitted before their children and a Map keeps that order, so one pass is enough. */
  #prune(): NodeId[] {
    const dead: NodeId[] = [];
    for (const [id, node] of this.#live) {
      if (this.#isAliveBelow(node.parent, node.token)) continue;
      this.#live.delete(id);
      this.#free.push(node.row);
      dead.push(id);
    }
    return dead;
  }
}
