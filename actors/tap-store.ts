import type { NodeId } from "../decoding/ids.ts";
import type { SegmentNodes } from "../decoding/segment.ts";
import type { TapRows } from "../models/stage-engine.ts";

interface TappedNode {
  readonly parent: NodeId;
  readonly position: number;
  /** One row [hidden] for each tapped layer. */
  readonly rows: readonly Float32Array[];
}

/**
 * Tap rows of one session's nodes until their fate is known. They are kept here, beside the mailbox and
 * not with the model, so that a commit finds them at once even while the model computes.
 */
export class TapStore {
  readonly #nodes = new Map<NodeId, TappedNode>();

  get size(): number {
    return this.#nodes.size;
  }

  keep(nodes: SegmentNodes, taps: readonly TapRows[]): void {
    if (taps.length === 0) return;
    nodes.ids.forEach((id, index) => {
      const rows = taps.map(({ rows: all }) => rowOf(all, nodes.ids.length, index));
      const parent = nodes.parents[index] as NodeId;
      this.#nodes.set(id as NodeId, { parent, position: nodes.positions[index] ?? 0, rows });
    });
  }

  /**
   * The rows of the accepted nodes and of their ancestors that were not taken before (their own commit was
   * missed), by layer. Nothing at or above the last one's position is needed after that: it is forgotten.
   */
  take(accepted: readonly NodeId[], layers: readonly number[]): TapRows[] {
    const path: TappedNode[] = [];
    for (let at = this.#find(accepted.at(-1)); at !== undefined; at = this.#find(at.parent)) path.push(at);
    path.reverse();
    const last = path.at(-1);
    if (last === undefined) return [];
    for (const [id, { position }] of this.#nodes) if (position <= last.position) this.#nodes.delete(id);
    const positions = Uint32Array.from(path, ({ position }) => position);
    return layers.map((layer, tap) => ({
      layer,
      positions,
      rows: joinRows(path.map(({ rows }) => rows[tap])),
    }));
  }

  #find(id: NodeId | undefined): TappedNode | undefined {
    return id === undefined ? undefined : this.#nodes.get(id);
  }
}

function rowOf(rows: Float32Array, nodes: number, index: number): Float32Array {
  const width = rows.length / nodes;
  return rows.subarray(index * width, (index + 1) * width);
}

function joinRows(rows: readonly (Float32Array | undefined)[]): Float32Array {
  const width = rows[0]?.length ?? 0;
  const joined = new Float32Array(rows.length * width);
  rows.forEach((row, index) => {
    if (row !== undefined) joined.set(row, index * width);
  });
  return joined;
}
