import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { SessionView, ViewNode } from "./session-view.ts";
import { tokenLabel } from "./token-label.ts";
import { layOut, type PlacedNode } from "./tree-layout.ts";

const COLUMN_PX = 84;
const ROW_PX = 30;
const NODE_PX = { width: 70, height: 22 };
const ROWS = 8;
/** Accepted nodes that are shown before the root. */
const TRAIL = 1;
const EDGE_PX = 8;

interface Place {
  readonly x: number;
  readonly y: number;
}

/** The draft tree: guesses grow to the right, the verified path slides out to the left. */
export function TreeView({ view }: { readonly view: SessionView | undefined }): VNode {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const places = useRef(new Map<number, Place>());
  const columns = Math.max(3, Math.floor((width - EDGE_PX) / COLUMN_PX));
  const placed = view === undefined ? [] : layOut(view, { columns: columns - TRAIL, rows: ROWS });
  const shown = placed.filter(({ column }) => column >= -TRAIL);
  const now = new Map(shown.map((each) => [each.node.key, placeOf(each)]));
  // Dead nodes stay where they were while they fade.
  const dead = (view?.pruned ?? []).flatMap((node) => {
    const place = places.current.get(node.key);
    return place === undefined ? [] : [{ node, place }];
  });
  for (const { node, place } of dead) now.set(node.key, place);
  places.current = now;
  return (
    <div class="tree" ref={box}>
      <svg
        role="img"
        aria-label={describe(view, placed.length)}
        width={width}
        height={ROWS * ROW_PX + EDGE_PX}
        data-nodes={placed.length}
      >
        {shown.map(({ node, column }) => {
          const from = node.parent && column > -TRAIL ? now.get(node.parent.key) : undefined;
          const to = now.get(node.key);
          return from && to && <Edge key={node.key} from={from} to={to} />;
        })}
        {dead.map(({ node, place }) => (
          <NodeMark key={node.key} node={node} place={place} />
        ))}
        {shown.map(({ node, column }) => {
          const place = now.get(node.key);
          return place && <NodeMark key={node.key} node={node} place={place} isRoot={column === 0} />;
        })}
      </svg>
      {view?.root === undefined && <p class="hint">The tree grows here while an answer is written.</p>}
    </div>
  );
}

const placeOf = ({ column, row }: PlacedNode): Place => ({
  x: EDGE_PX + (column + TRAIL) * COLUMN_PX,
  y: EDGE_PX + row * ROW_PX,
});

function describe(view: SessionView | undefined, count: number): string {
  if (view?.root === undefined) return "Draft tree: empty";
  return `Draft tree: ${count} nodes, root “${tokenLabel(view.root.text)}” after ${view.tokens.length} tokens`;
}

interface NodeMarkProps {
  readonly node: ViewNode;
  readonly place: Place;
  readonly isRoot?: boolean;
}

function NodeMark({ node, place, isRoot = false }: NodeMarkProps): VNode {
  const { width, height } = NODE_PX;
  return (
    <g
      class="node"
      data-state={node.state}
      data-root={isRoot ? "" : undefined}
      style={{ transform: `translate(${place.x}px, ${place.y}px)` }}
    >
      <rect width={width} height={height} rx={height / 2} />
      <text x={width / 2} y={height / 2 + 4}>
        {tokenLabel(node.text)}
      </text>
    </g>
  );
}

/** From a parent's right end to its child's left end. As a style it moves in step with the nodes. */
function Edge({ from, to }: { readonly from: Place; readonly to: Place }): VNode {
  const middle = NODE_PX.height / 2;
  const [x, y] = [from.x + NODE_PX.width, from.y + middle];
  const bend = (x + to.x) / 2;
  const path = `M${x} ${y}C${bend} ${y} ${bend} ${to.y + middle} ${to.x} ${to.y + middle}`;
  return <path class="edge" d={path} style={{ d: `path("${path}")` }} />;
}

const WIDTH_AT_FIRST_PX = 420;

function useWidth(box: { readonly current: HTMLDivElement | null }): number {
  const [width, setWidth] = useState(WIDTH_AT_FIRST_PX);
  useEffect(() => {
    if (box.current === null) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry !== undefined) setWidth(Math.floor(entry.contentRect.width));
    });
    observer.observe(box.current);
    return () => observer.disconnect();
  }, [box]);
  return width;
}
