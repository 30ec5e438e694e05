import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { LiveSessionEvent } from "../../actors/live-port.ts";
import { SessionView, type ViewNode } from "../../web/live/session-view.ts";
import { tokenLabel } from "../../web/live/token-label.ts";
import { layOut } from "../../web/live/tree-layout.ts";

const of = { session: "s", generation: 0 };

const drafted = (
  atMs: number,
  base: number,
  position: number,
  nodes: readonly (readonly [parent: number, token: number, probability: number])[],
): LiveSessionEvent => ({
  ...{ ...of, type: "drafted", atMs, base, position, draftMs: 1 },
  parents: nodes.map(([parent]) => parent),
  tokens: nodes.map(([, token]) => token),
  texts: nodes.map(([, token]) => `t${token}`),
  scores: nodes.map(([, , probability]) => Math.log(probability)),
});

const sent = (
  atMs: number,
  segment: number,
  certain: number,
  nodes: readonly (readonly [id: number, parent: number, token: number, position: number])[],
): LiveSessionEvent => ({
  ...{ ...of, type: "sent", atMs, segment, prompt: false, count: nodes.length, certain },
  ids: nodes.map(([id]) => id),
  parents: nodes.map(([, parent]) => parent),
  tokens: nodes.map(([, , token]) => token),
  texts: nodes.map(([, , token]) => `t${token}`),
  positions: nodes.map(([, , , position]) => position),
});

const committed = (
  atMs: number,
  position: number,
  nodes: readonly number[],
  tokens: readonly number[],
): LiveSessionEvent => ({
  ...{ ...of, type: "committed", atMs, segment: 1, position, nodes, tokens },
  texts: tokens.map((token) => `t${token}`),
});

const worked = (atMs: number, stage: number, segment: number, count: number): LiveSessionEvent => ({
  ...{ ...of, type: "worked", atMs, stage, segment, count, ms: 10 },
});

/** Prompt of five tokens; token 50 is first, then 51 and 60 are guessed, and 52 and 53 below 51. */
const BEGINNING: readonly LiveSessionEvent[] = [
  { session: "s", type: "opened", atMs: 0, promptTokens: 5, maxTokens: 9 },
  committed(100, 5, [4], [50]),
  drafted(105, 5, 5, [
    [-1, 51, 0.7],
    [-1, 60, 0.2],
    [0, 52, 0.42],
    [0, 53, 0.14],
  ]),
  sent(110, 1, 6, [
    [5, 4, 50, 5],
    [6, 5, 51, 6],
    [7, 5, 60, 6],
    [8, 6, 52, 7],
  ]),
];

function play(events: readonly LiveSessionEvent[]): SessionView {
  const view = new SessionView("s", 2);
  for (const event of events) view.apply(event);
  return view;
}

function find(view: SessionView, ...path: readonly number[]): ViewNode | undefined {
  let node = view.root;
  for (const token of path) node = node?.children.get(token);
  return node;
}

describe("the view of a session", () => {
  test("has what was guessed below the root, and what of it is in the pipeline", () => {
    const view = play(BEGINNING);
    expect(view.root).toMatchObject({ token: 50, position: 5, state: "sent" });
    expect(find(view, 51)).toMatchObject({ state: "sent", probability: expect.closeTo(0.7, 6) });
    expect(find(view, 51, 52)).toMatchObject({ state: "sent", probability: expect.closeTo(0.6, 6) });
    expect(find(view, 51, 53)).toMatchObject({ state: "drafted", position: 7 });
    expect(view.tokens).toEqual([{ text: "t50", guessed: false, commit: 0 }]);
  });

  test("keeps what is below the new root, and prunes the rest", () => {
    const view = play([...BEGINNING, committed(150, 6, [5], [51])]);
    expect(view.root).toMatchObject({ token: 51, state: "sent" });
    expect(find(view, 52)?.state).toBe("sent");
    expect(find(view, 53)?.state).toBe("drafted");
    expect(view.pruned.map(({ token, state }) => [token, state])).toEqual([[60, "pruned"]]);
    expect(view.trail.map(({ token }) => token)).toEqual([50]);
    expect(view.tokens.map(({ guessed }) => guessed)).toEqual([false, true]);
    // What survived is still known by its id.
    view.apply(committed(160, 7, [6, 8], [52, 99]));
    expect(view.tokens.slice(2)).toEqual([
      { text: "t52", guessed: true, commit: 2 },
      { text: "t99", guessed: false, commit: 2 },
    ]);
    expect(view.root).toMatchObject({ token: 99, position: 8, state: "drafted" });
    expect([view.commits, view.meanAccepted]).toEqual([3, 4 / 3]);
    expect(view.tokensPerSecond).toBeCloseTo(3 / 0.06, 6);
  });

  test("a guess that was not sent in time counts as none", () => {
    const view = play([...BEGINNING, committed(150, 6, [5, 6], [51, 53])]);
    expect(view.tokens.map(({ text, guessed }) => [text, guessed])).toEqual([
      ["t50", false],
      ["t51", true],
      ["t53", false],
    ]);
  });

  test("takes candidates that come after the root has moved on, where they lie below it", () => {
    const late = drafted(170, 5, 5, [
      [-1, 51, 0.5],
      [-1, 61, 0.3],
      [0, 70, 0.25],
    ]);
    const view = play([...BEGINNING, committed(150, 6, [5], [51]), late]);
    expect(find(view, 70)).toMatchObject({ state: "drafted", probability: expect.closeTo(0.5, 6) });
    expect([...(view.root?.children.keys() ?? [])].sort()).toEqual([52, 53, 70]);
    const other = drafted(180, 5, 5, [[-1, 61, 0.3]]);
    view.apply(other);
    expect(view.root?.children.size).toBe(3);
  });

  test("moves segments from stage to stage, and forgets them soon after", () => {
    const view = play([...BEGINNING, worked(120, 0, 1, 4)]);
    expect(view.segments.get("0.1")).toMatchObject({ stage: 1, count: 4, computed: 4 });
    expect(view.busyShare(0)).toBeCloseTo(10 / 120, 6);
    view.apply(worked(130, 1, 1, 2));
    expect(view.segments.get("0.1")).toMatchObject({ stage: 2, computed: 2 });
    view.apply(worked(131, 0, 1, 4));
    expect(view.segments.get("0.1")?.stage).toBe(2);
    view.apply(committed(900, 6, [5], [51]));
    expect(view.segments.size).toBe(0);
  });

  test("begins its tree anew when the session is sent again", () => {
    const again = { ...committed(200, 6, [40], [51]), generation: 1 } as LiveSessionEvent;
    const view = play([...BEGINNING, again]);
    expect(view.root).toMatchObject({ token: 51, position: 6 });
    expect(view.root?.children.size).toBe(0);
    expect(view.segments.size).toBe(0);
    expect(view.tokens.map(({ text }) => text)).toEqual(["t50", "t51"]);
  });
});

describe("the tree's places", () => {
  const candidate = fc.record({ parent: fc.nat(), share: fc.double({ min: 0.01, max: 1, noNaN: true }) });

  test("are within the picture, one for each node, children right of their parents and never above", () => {
    fc.assert(
      fc.property(
        fc.array(candidate, { maxLength: 120 }),
        fc.integer({ min: 2, max: 8 }),
        (list, columns) => {
          const probabilities: number[] = [];
          const nodes = list.map(({ parent, share }, index) => {
            const at = (parent % (index + 1)) - 1;
            probabilities[index] = share * (probabilities[at] ?? 1);
            return [at, 100 + index, probabilities[index] ?? 1] as const;
          });
          const view = play([committed(0, 5, [4], [50]), drafted(1, 5, 5, nodes)]);
          const placed = layOut(view, { columns, rows: 8 });
          const byNode = new Map(placed.map((each) => [each.node, each]));
          expect(new Set(placed.map(({ column, row }) => `${column} ${row}`)).size).toBe(placed.length);
          for (const { node, column, row } of placed) {
            expect([column < columns, row < 8]).toEqual([true, true]);
            if (node === view.root) continue;
            const parent = byNode.get(node.parent!)!;
            expect(column).toBe(parent.column + 1);
            expect(row).toBeGreaterThanOrEqual(parent.row);
          }
          // The path of the likeliest children is the first row.
          let best = view.root;
          for (let depth = 0; best !== undefined && depth < columns; depth++) {
            expect(byNode.get(best)?.row).toBe(0);
            const children: ViewNode[] = [...best.children.values()];
            best = children.sort((a, b) => b.probability - a.probability || a.key - b.key)[0];
            if (best !== undefined && !byNode.has(best)) break;
          }
        },
      ),
    );
  });
});

test("labels of tokens are short, and show what can't be seen", () => {
  expect(["", " the", "\n\n", "  ", "encyclopaedia", "𝒜𝒜𝒜𝒜𝒜𝒜𝒜𝒜𝒜"].map((text) => tokenLabel(text))).toEqual([
    "end",
    "the",
    "⏎⏎",
    "␣␣",
    "encyclo…",
    "𝒜𝒜𝒜𝒜𝒜𝒜𝒜…",
  ]);
});
