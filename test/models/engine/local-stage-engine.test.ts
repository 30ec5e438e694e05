import { expect, test } from "bun:test";
import { tokenId } from "../../../decoding/ids.ts";
import { NO_COUNTS } from "../../../decoding/path-tokens.ts";
import { GREEDY } from "../../../decoding/sampling-params.ts";
import { EMPTY_NODES } from "../../../decoding/segment.ts";
import { KvBudgetError } from "../../../models/kv-cache.ts";
import { LocalStageEngine } from "../../../models/local-stage-engine.ts";
import { PAGE_ROWS } from "../../../models/stage-session.ts";
import { chainOf, NOTHING_HELD, nodeIds, segmentOf, type TreeNode } from "./pipeline.ts";
import { TOY_BYTES_PER_ROW, ToyMath } from "./toy-math.ts";

const open = (options: { taps?: number[]; budgetRows?: number } = {}) => {
  const math = new ToyMath(options.taps);
  return { math, engine: new LocalStageEngine(math, (options.budgetRows ?? 10_000) * TOY_BYTES_PER_ROW) };
};

const PROMPT = chainOf([1, 2, 3]);
/** Below the prompt's last node: 3 (token 10) with children 4 and 5 (tokens 20, 30), and 6 (token 40). */
const TREE: TreeNode[] = [
  { id: 3, parent: 2, token: 10, position: 3 },
  { id: 4, parent: 3, token: 20, position: 4 },
  { id: 5, parent: 3, token: 30, position: 4 },
  { id: 6, parent: 2, token: 40, position: 3 },
];

async function prompted(options: { taps?: number[] } = {}) {
  const { math, engine } = open(options);
  await engine.run({ session: "s", nodes: segmentOf(PROMPT), committed: true });
  return { math, engine };
}

test("each node sees its ancestors and nothing else, in one segment or several", async () => {
  const together = await prompted();
  const tree = await together.engine.run({ session: "s", nodes: segmentOf(TREE), committed: false });
  expect([...tree.hidden]).toEqual([16, 4, 36, 5, 46, 5, 46, 4]);
  const { engine } = await prompted();
  for (const [i, node] of TREE.entries()) {
    const { hidden } = await engine.run({ session: "s", nodes: segmentOf([node]), committed: false });
    expect([...hidden]).toEqual([...tree.hidden.slice(2 * i, 2 * i + 2)]);
  }
});

test("a commit prunes other branches, and dead nodes are left out of later segments with their rows", async () => {
  const { engine } = await prompted();
  await engine.run({ session: "s", nodes: segmentOf(TREE), committed: false });
  await engine.commit("s", nodeIds([TREE[0]!]), tokenId(30));
  expect((await engine.usage()).liveRows).toBe(5);
  const late: TreeNode[] = [
    { id: 7, parent: 6, token: 50, position: 4 },
    { id: 8, parent: 5, token: 60, position: 5 },
    { id: 9, parent: 4, token: 70, position: 5 },
  ];
  const result = await engine.run({ session: "s", nodes: segmentOf(late), committed: false });
  expect([...result.nodes.ids]).toEqual([8]);
  expect([...result.hidden]).toEqual([1 + 2 + 3 + 10 + 30 + 60, 6]);
});

test("hidden rows of dead nodes are dropped with them", async () => {
  const { engine } = await prompted();
  await engine.run({ session: "s", nodes: segmentOf(TREE), committed: false });
  await engine.commit("s", nodeIds([TREE[0]!]), tokenId(30));
  const nodes = segmentOf([TREE[3]!, { id: 8, parent: 5, token: 60, position: 5 }]);
  const run = { session: "s", nodes, committed: false };
  await expect(engine.run({ ...run, hidden: new Float32Array(3) })).rejects.toThrow(
    /need 4 hidden elements, got 3/,
  );
  expect((await engine.run({ ...run, hidden: new Float32Array(4) })).nodes.ids).toEqual(Uint32Array.of(8));
});

test("tap rows come with each run, one for each live node", async () => {
  const { engine } = open({ taps: [2, 5] });
  const prompt = await engine.run({ session: "s", nodes: segmentOf(PROMPT), committed: true });
  expect(prompt.taps.map(({ layer, positions, rows }) => [layer, [...positions], [...rows]])).toEqual([
    [2, [0, 1, 2], [2, 2, 6, 4, 12, 6]],
    [5, [0, 1, 2], [5, 5, 15, 10, 30, 15]],
  ]);
  const tree = await engine.run({ session: "s", nodes: segmentOf(TREE), committed: false });
  const rowOf = (tap: number, node: number) => [...tree.taps[tap]!.rows.subarray(2 * node, 2 * node + 2)];
  expect(tree.taps.map(({ layer, positions }) => [layer, positions])).toEqual([
    [2, tree.nodes.positions],
    [5, tree.nodes.positions],
  ]);
  expect([rowOf(0, 0), rowOf(0, 2), rowOf(1, 0), rowOf(1, 2)]).toEqual([
    [32, 8],
    [92, 10],
    [80, 20],
    [230, 25],
  ]);
});

test("rows of pruned nodes are used again, so a long session with many dead branches doesn't grow", async () => {
  const { engine } = await prompted();
  let head = 2;
  for (let step = 0; step < 40; step++) {
    const firstId = 100 + 10 * step;
    const branches = Array.from({ length: 10 }, (_, i) => ({
      id: firstId + i,
      parent: head,
      token: i,
      position: 3 + step,
    }));
    await engine.run({ session: "s", nodes: segmentOf(branches), committed: false });
    // Token 0 is what the next round's first branch has, and no other node of this round.
    await engine.commit("s", nodeIds([branches[0]!]), tokenId(0));
    head = firstId;
  }
  const { liveRows, allocatedBytes } = await engine.usage();
  expect(liveRows).toBe(PROMPT.length + 40);
  expect(allocatedBytes).toBe(PAGE_ROWS * TOY_BYTES_PER_ROW);
});

test("a run that would exceed the budget is refused before anything changes", async () => {
  const { engine } = open({ budgetRows: 2 * PAGE_ROWS });
  const long = (count: number) => segmentOf(chainOf(Array.from({ length: count }, () => 1)));
  await engine.run({ session: "a", nodes: long(PAGE_ROWS), committed: true });
  const refused = engine.run({ session: "b", nodes: long(PAGE_ROWS + 1), committed: true });
  await expect(refused).rejects.toBeInstanceOf(KvBudgetError);
  await expect(refused).rejects.toThrow(/1920 bytes, more than the 1280 allowed/);
  expect(await engine.usage()).toEqual({
    sessions: 1,
    liveRows: PAGE_ROWS,
    allocatedBytes: PAGE_ROWS * TOY_BYTES_PER_ROW,
    keptSessions: 0,
    keptBytes: 0,
  });
  await engine.run({ session: "b", nodes: long(PAGE_ROWS), committed: true });
  await engine.release("a");
  const tail = chainOf([1], { firstId: PAGE_ROWS, parent: PAGE_ROWS - 1, position: PAGE_ROWS });
  const { hidden } = await engine.run({ session: "b", nodes: segmentOf(tail), committed: true });
  expect([...hidden]).toEqual([PAGE_ROWS + 1, PAGE_ROWS + 1]);
});

test("release frees everything, and what comes late for a session that ended changes nothing", async () => {
  const { engine } = await prompted({ taps: [1] });
  await engine.run({ session: "s", nodes: segmentOf(TREE), committed: false });
  await engine.release("s");
  await engine.release("unknown");
  const late = await engine.run({ session: "s", nodes: segmentOf([TREE[1]!]), committed: false });
  expect(late.nodes.ids.length).toBe(0);
  await engine.commit("s", nodeIds(TREE), tokenId(1));
  const chunk = chainOf([5], { firstId: 3, parent: 2, position: 3 });
  expect(
    (await engine.run({ session: "s", nodes: segmentOf(chunk), committed: true })).nodes.ids.length,
  ).toBe(0);
  expect(await engine.usage()).toEqual(NOTHING_HELD);
});

test("calls are served one after the other, in call order", async () => {
  const { engine } = open();
  const calls = [
    engine.run({ session: "s", nodes: segmentOf(PROMPT), committed: true }),
    engine.run({ session: "s", nodes: segmentOf(TREE), committed: false }),
    engine.commit("s", nodeIds([TREE[0]!]), tokenId(20)),
    engine.usage(),
  ];
  const [, tree, , usage] = await Promise.all(calls);
  expect(tree).toMatchObject({ nodes: { ids: Uint32Array.of(3, 4, 5, 6) } });
  expect(usage).toMatchObject({ liveRows: 5 });
});

test("a failed forward ends its session, whose rows were never written, and no other", async () => {
  const { math, engine } = await prompted();
  await engine.run({ session: "other", nodes: segmentOf(PROMPT), committed: true });
  math.failure = new Error("out of memory");
  await expect(engine.run({ session: "s", nodes: segmentOf(TREE), committed: false })).rejects.toThrow(
    "out of memory",
  );
  expect(await engine.usage()).toMatchObject({ sessions: 1, liveRows: 3 });
  const again = await engine.run({ session: "s", nodes: segmentOf(PROMPT), committed: true });
  expect([...again.hidden.slice(-2)]).toEqual([6, 3]);
});

test("nothing to compute is an empty result", async () => {
  const { engine } = await prompted();
  const result = await engine.run({ session: "s", nodes: EMPTY_NODES, committed: false });
  expect(result.nodes.ids.length).toBe(0);
  expect(result.hidden.length).toBe(0);
});

test("the next token comes from the row's logits", async () => {
  const { engine } = open();
  expect(await engine.nextToken(Float32Array.of(42, 0), GREEDY, 7, NO_COUNTS)).toEqual({
    token: tokenId(42),
  });
});

test("the target's log-probabilities are told where they are wished for, whatever is drawn", async () => {
  const { engine } = open();
  const sampling = { ...GREEDY, logitBias: [{ token: 3, bias: 100 }] };
  const plain = await engine.nextToken(Float32Array.of(42, 0), GREEDY, 7, NO_COUNTS, { topLogprobs: 2 });
  const biased = await engine.nextToken(Float32Array.of(42, 0), sampling, 7, NO_COUNTS, { topLogprobs: 2 });
  expect(plain.logprobs?.top[0]).toEqual({ token: 42, logprob: plain.logprobs!.logprob });
  expect(biased.logprobs).toMatchObject({ token: 3, top: plain.logprobs!.top });
  expect(biased.logprobs!.logprob).toBeLessThan(plain.logprobs!.logprob);
});

test("close waits for the calls before it and frees the model", async () => {
  const { math, engine } = open();
  const run = engine.run({ session: "s", nodes: segmentOf(PROMPT), committed: true });
  await engine.close();
  expect(math.isClosed).toBe(true);
  expect((await run).nodes.ids.length).toBe(3);
});
