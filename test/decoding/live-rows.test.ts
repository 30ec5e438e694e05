import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { NO_NODE, type NodeId, nodeId, tokenId } from "../../decoding/ids.ts";
import { type Admission, LiveRows } from "../../decoding/live-rows.ts";
import type { SegmentNodes } from "../../decoding/segment.ts";

interface NaiveNode {
  id: number;
  parent: number;
  token: number;
  position: number;
}

const PAGE_ROWS = 4;

function segmentOf(nodes: NaiveNode[]): SegmentNodes {
  return {
    ids: Uint32Array.from(nodes, (node) => node.id),
    parents: Uint32Array.from(nodes, (node) => node.parent),
    tokens: Uint32Array.from(nodes, (node) => node.token),
    positions: Uint32Array.from(nodes, (node) => node.position),
  };
}

/** The whole session kept as a list, every question answered by a walk up the parent links. */
class NaiveSession {
  readonly nodes = new Map<number, NaiveNode>();
  readonly rowOf = new Map<number, number>();
  head = -1;
  next: number | undefined;

  add(parent: number, token: number): NaiveNode {
    const position = parent < 0 ? 0 : this.nodes.get(parent)!.position + 1;
    const node = { id: this.nodes.size, parent: parent < 0 ? NO_NODE : parent, token, position };
    this.nodes.set(node.id, node);
    return node;
  }

  pathTo(id: number): number[] {
    const path: number[] = [];
    for (let at = this.nodes.get(id); at !== undefined; at = this.nodes.get(at.parent)) path.push(at.id);
    return path.reverse();
  }

  isLive(id: number): boolean {
    const path = this.pathTo(id);
    const at = path.indexOf(this.head);
    if (at < 0 || at === path.length - 1) return false;
    return this.next === undefined || this.nodes.get(path[at + 1]!)!.token === this.next;
  }
}

function visibleRows(admission: Admission, index: number, capacity: number): number[] {
  const rows: number[] = [];
  for (let row = 0; row < capacity; row++) {
    if (admission.pastMask[index * capacity + row] === 0) rows.push(row);
  }
  const count = admission.rows.length;
  for (let j = 0; j < count; j++) {
    if (admission.newMask[index * count + j] === 0) rows.push(admission.rows[j]!);
  }
  return rows.sort((a, b) => a - b);
}

function admitAndCheck(session: NaiveSession, rows: LiveRows, nodes: NaiveNode[], committed: boolean): void {
  const admission = rows.admit(segmentOf(nodes), committed);
  if (committed) session.head = nodes.at(-1)!.id;
  admission.nodes.ids.forEach((id, i) => {
    session.rowOf.set(id, admission.rows[i]!);
  });
  admission.nodes.ids.forEach((id, i) => {
    const expected = session.pathTo(id).map((node) => session.rowOf.get(node)!);
    expect(visibleRows(admission, i, rows.capacity)).toEqual(expected.sort((a, b) => a - b));
  });
}

/** Numbers drive what happens next; every property reads them in turn. */
const script = fc.array(fc.nat(1000), { minLength: 20, maxLength: 120 });

/** Draws a session from the numbers: prompt, then segments and commits in any order. */
class Play {
  readonly session = new NaiveSession();
  readonly rows = new LiveRows(PAGE_ROWS);
  readonly #choices: number[];
  readonly #hears: (at: number) => boolean;
  #at = 0;
  /** False while a commit was missed: dead nodes may then be taken for live ones. */
  #upToDate = true;

  constructor(choices: number[], hears: (at: number) => boolean) {
    this.#choices = choices;
    this.#hears = hears;
    const prompt: NaiveNode[] = [];
    for (let i = 0; i < 3; i++) prompt.push(this.session.add(i - 1, 7));
    admitAndCheck(this.session, this.rows, prompt, true);
    while (this.#at < choices.length) {
      if (this.#draw(3) === 0) this.#commit();
      else this.#send();
    }
  }

  #draw(bound: number): number {
    return this.#choices[this.#at++ % this.#choices.length]! % bound;
  }

  #commit(): void {
    const { session, rows } = this;
    const live = [...session.rowOf.keys()].filter((id) => session.isLive(id));
    const target = live[this.#draw(Math.max(1, live.length))] ?? session.head;
    const path = session.pathTo(target);
    const below = path.slice(path.indexOf(session.head) + 1);
    if (below.length === 0 && session.next !== undefined) return;
    const accepted = below.length === 0 ? [target] : below;
    session.head = target;
    session.next = this.#draw(3);
    this.#upToDate = this.#hears(this.#at);
    if (this.#upToDate) rows.commit(accepted.map(nodeId), tokenId(session.next));
  }

  #send(): void {
    const { session, rows } = this;
    const segment: NaiveNode[] = [];
    for (let i = 0; i <= this.#draw(5); i++) {
      const known = (id: number) => session.rowOf.has(id) || segment.some((node) => node.id === id);
      const parents = [...session.nodes.keys()].filter(
        (id) => id === session.head || (session.isLive(id) && known(id)),
      );
      const parent = parents[this.#draw(parents.length)]!;
      const token = this.#draw(3);
      const twin = [...session.nodes.values()].some((node) => node.parent === parent && node.token === token);
      if (!twin) segment.push(session.add(parent, token));
    }
    const lives = segment.filter((node) => session.isLive(node.id)).map((node) => node.id);
    const before = rows.liveCount;
    admitAndCheck(session, rows, segment, false);
    const got = segment.map((node) => node.id).filter((id) => session.rowOf.has(id));
    for (const id of lives) expect(got).toContain(id);
    expect(rows.liveCount).toBe(before + got.length);
    if (this.#upToDate) expect(got).toEqual(lives);
  }
}

describe("LiveRows", () => {
  test("a node sees its ancestors, itself and nothing else, whatever was sent, committed and pruned", () => {
    fc.assert(
      fc.property(script, (choices) => {
        new Play(choices, () => true);
      }),
    );
  });

  test("commits that are missed change no node's view, only how many dead nodes are kept", () => {
    fc.assert(
      fc.property(script, fc.nat(4), (choices, modulus) => {
        new Play(choices, (at) => at % (modulus + 2) === 0);
      }),
    );
  });

  test("rows in use are those of the committed path and of the live nodes, and no two nodes share one", () => {
    fc.assert(
      fc.property(script, (choices) => {
        const { session, rows } = new Play(choices, () => true);
        const path = session.pathTo(session.head);
        const live = [...session.rowOf.keys()].filter((id) => session.isLive(id));
        expect(rows.liveCount).toBe(path.length + live.length);
        const used = [...path, ...live].map((id) => session.rowOf.get(id));
        expect(new Set(used).size).toBe(used.length);
        expect(rows.capacity % PAGE_ROWS).toBe(0);
      }),
    );
  });

  test("a repeated or unknown commit changes nothing", () => {
    const session = new NaiveSession();
    const rows = new LiveRows(PAGE_ROWS);
    const first = session.add(-1, 1);
    admitAndCheck(session, rows, [first], true);
    const child = session.add(first.id, 2);
    rows.commit([nodeId(first.id)], tokenId(2));
    admitAndCheck(session, rows, [child], false);
    const accepted: NodeId[] = [nodeId(child.id)];
    expect(rows.commit(accepted, tokenId(3)).ids).toEqual(accepted);
    expect(rows.commit(accepted, tokenId(3))).toEqual({ ids: [], positions: [], dead: [] });
    expect(rows.commit([nodeId(99)], tokenId(3))).toEqual({ ids: [], positions: [], dead: [] });
    expect(rows.liveCount).toBe(2);
  });

  test("a commit also takes in ancestors whose own commit was missed", () => {
    const session = new NaiveSession();
    const rows = new LiveRows(PAGE_ROWS);
    const prompt = session.add(-1, 1);
    const a = session.add(prompt.id, 2);
    const b = session.add(a.id, 3);
    admitAndCheck(session, rows, [prompt], true);
    admitAndCheck(session, rows, [a, b], false);
    expect(rows.commit([nodeId(b.id)], tokenId(4))).toEqual({
      ids: [nodeId(a.id), nodeId(b.id)],
      positions: [1, 2],
      dead: [],
    });
  });

  test("a prompt chunk that does not follow the committed path is refused", () => {
    const rows = new LiveRows(PAGE_ROWS);
    const orphan = { id: 5, parent: 4, token: 1, position: 5 };
    expect(() => rows.admit(segmentOf([orphan]), true)).toThrow("follows node 4");
  });
});
