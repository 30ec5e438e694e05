import type { TreeNode } from "../draft-tree.ts";

/** Level by level, and in each the best first. Parents come before their children. */
export const breadthFirst = (a: TreeNode, b: TreeNode): number =>
  a.position - b.position || b.score - a.score || a.order - b.order;

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
