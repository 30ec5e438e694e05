import { expect, test } from "bun:test";
import fc from "fast-check";
import { EventQueue } from "../../../bench/simulator/event-queue.ts";
import {
  type FlightNode,
  type FlightSegment,
  Stage,
  type StageWork,
} from "../../../bench/simulator/stage.ts";
import { NO_NODE, type NodeId, nodeId, tokenId } from "../../../decoding/ids.ts";
import { LiveRows } from "../../../decoding/live-rows.ts";

/** The target's token at each position. */
const truth = (position: number) => tokenId(100 + position);

interface GrownNode extends FlightNode {
  readonly parent: NodeId;
  readonly token: number;
}

/** A random tree below a root at position 1, parents first; `picks` choose parents, `rights` the tokens. */
function growTree(picks: readonly number[], rights: readonly boolean[]): GrownNode[] {
  const root = {
    id: nodeId(1),
    parent: nodeId(0),
    token: truth(1),
    position: 1,
    wrongAt: Number.POSITIVE_INFINITY,
  };
  const nodes: GrownNode[] = [root];
  const taken = new Set<string>();
  picks.forEach((pick, index) => {
    const above = nodes[pick % nodes.length]!;
    const position = above.position + 1;
    const token = rights[index] ? truth(position) : tokenId(1000 + index);
    if (taken.has(`${above.id}/${token}`)) return;
    taken.add(`${above.id}/${token}`);
    const wrongAt = Math.min(above.wrongAt, token === truth(position) ? Number.POSITIVE_INFINITY : position);
    nodes.push({ id: nodeId(nodes.length + 1), parent: above.id, token, position, wrongAt });
  });
  return nodes;
}

function cutTree(nodes: readonly GrownNode[], lengths: readonly number[]): GrownNode[][] {
  const segments: GrownNode[][] = [];
  let from = 0;
  for (let i = 0; from < nodes.length; i++) {
    const length = lengths[i % lengths.length]!;
    segments.push(nodes.slice(from, from + length));
    from += length;
  }
  return segments;
}

test("computes the nodes that the real stage's LiveRows would, whenever commits come", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(), { maxLength: 40 }),
      fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }),
      fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 8 }),
      fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 8 }),
      (picks, rights, lengths, commits) => {
        const events = new EventQueue();
        const works: StageWork[] = [];
        const stage = new Stage({
          index: 0,
          events,
          costMs: () => 1,
          overheadMs: 0,
          done: (work) => void works.push(work),
        });
        const rows = new LiveRows(16);
        const prompt = { ids: [0], parents: [NO_NODE], tokens: [truth(0)], positions: [0] };
        rows.admit(toArrays(prompt), true);
        rows.commit([nodeId(0)], truth(1));
        stage.hear(0, 2);
        let certain = 2;
        const seen = new Map<number, NodeId>();
        for (const [sequence, nodes] of cutTree(growTree(picks, rights), lengths).entries()) {
          stage.receive({ session: 0, sequence, committed: false, certain: 0, prunes: true, nodes });
          events.run();
          const { nodes: live } = rows.admit(
            toArrays({
              ids: nodes.map(({ id }) => id),
              parents: nodes.map(({ parent }) => parent),
              tokens: nodes.map(({ token }) => token),
              positions: nodes.map(({ position }) => position),
            }),
            false,
          );
          expect(works.at(-1)!.segment.nodes.map(({ id }) => id as number)).toEqual([...live.ids]);
          for (const node of nodes) if (node.wrongAt > node.position) seen.set(node.position, node.id);
          // The verifier can't be ahead of what this stage has computed.
          for (let step = commits[sequence % commits.length]!; step > 0; step--) {
            const accepted = seen.get(certain - 1);
            if (accepted === undefined) break;
            rows.commit([accepted], truth(certain));
            stage.hear(0, ++certain);
          }
        }
      },
    ),
  );
});

function toArrays(nodes: Record<"ids" | "parents" | "tokens" | "positions", readonly number[]>) {
  const { ids, parents, tokens, positions } = nodes;
  const array = (values: readonly number[]) => Uint32Array.from(values);
  return { ids: array(ids), parents: array(parents), tokens: array(tokens), positions: array(positions) };
}

test("without pruning a commit counts from the first segment that was sent in knowledge of it", () => {
  const events = new EventQueue();
  const lengths: number[] = [];
  const stage = new Stage({
    index: 0,
    events,
    costMs: () => 1,
    overheadMs: 0,
    done: ({ segment }) => void lengths.push(segment.nodes.length),
  });
  const dead: FlightNode = { id: nodeId(7), position: 4, wrongAt: 4 };
  const segment = (certain: number, prunes: boolean): FlightSegment => {
    return { session: 0, sequence: 0, committed: false, certain, prunes, nodes: [dead] };
  };
  stage.hear(0, 5);
  for (const certain of [3, 4, 5, 3]) stage.receive(segment(certain, false));
  events.run();
  expect(lengths).toEqual([1, 1, 0, 0]);
});

test("one segment at a time: the overhead, then what its live nodes cost, and no cost without any", () => {
  const events = new EventQueue();
  const spans: number[][] = [];
  const stage = new Stage({
    index: 0,
    events,
    costMs: (nodes) => 10 * nodes,
    overheadMs: 1,
    done: ({ beginMs, endMs }) => void spans.push([beginMs, endMs]),
  });
  const node = (wrongAt: number): FlightNode => ({ id: nodeId(wrongAt), position: 3, wrongAt });
  const segment = (nodes: FlightNode[]) => {
    return { session: 0, sequence: 0, committed: false, certain: 0, prunes: true, nodes };
  };
  stage.receive(segment([node(3), node(9)]));
  stage.receive(segment([node(3)]));
  stage.receive(segment([node(9)]));
  events.at(5, () => stage.hear(0, 4));
  events.run();
  // The commit came while the first segment was computed: too late for that one.
  expect(spans).toEqual([
    [1, 21],
    [22, 22],
    [23, 33],
  ]);
});
