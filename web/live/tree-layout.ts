import type { SessionView, ViewNode } from "./session-view.ts";

export interface PlacedNode {
  readonly node: ViewNode;
  /** 0 is the root's; accepted nodes before it have negative ones. */
  readonly column: number;
  readonly row: number;
}

export interface LayoutSize {
  /** Columns from the root on. */
  readonly columns: number;
  readonly rows: number;
}

interface Weighed {
  readonly node: ViewNode;
  readonly depth: number;
  readonly likelihood: number;
}

/**
 * Places the likeliest part of the draft tree: depth to the right, the likeliest child in its parent's row, the
 * others in rows of their own below. So the path that the drafter believes in is a straight line at the top.
 */
export function layOut(view: SessionView, { columns, rows }: LayoutSize): PlacedNode[] {
  const { root, trail } = view;
  if (root === undefined) return [];
  const before = trail
    .filter((node) => node !== root)
    .map((node) => ({ node, column: node.position - root.position, row: 0 }));
  const chosen = new Set(likeliest(root, columns, columns * rows).map(({ node }) => node));
  const placed: PlacedNode[] = [];
  let nextRow = 1;
  const place = (node: ViewNode, column: number, row: number): void => {
    placed.push({ node, column, row });
    const children = [...node.children.values()].filter((child) => chosen.has(child));
    children.sort((a, b) => b.probability - a.probability || a.key - b.key);
    for (const [index, child] of children.entries()) {
      if (index === 0) place(child, column + 1, row);
      else if (nextRow < rows) place(child, column + 1, nextRow++);
    }
  };
  place(root, 0, 0);
  return [...before, ...placed];
}

/** Nodes by the probability of their path, parents before children, at most `limit` and not too deep. */
function likeliest(root: ViewNode, columns: number, limit: number): Weighed[] {
  const all: Weighed[] = [];
  const visit = (node: ViewNode, depth: number, likelihood: number): void => {
    if (depth >= columns) return;
    all.push({ node, depth, likelihood });
    for (const child of node.children.values()) visit(child, depth + 1, likelihood * child.probability);
  };
  visit(root, 0, 1);
  all.sort((a, b) => b.likelihood - a.likelihood || a.depth - b.depth || a.node.key - b.node.key);
  return all.slice(0, limit);
}
