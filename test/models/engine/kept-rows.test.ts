import { describe, expect, test } from "bun:test";
import { tokenId } from "../../../decoding/ids.ts";
import { KvBudgetError } from "../../../models/kv-cache.ts";
import { LocalStageEngine } from "../../../models/local-stage-engine.ts";
import { PAGE_ROWS } from "../../../models/stage-session.ts";
import type { Numerics } from "../../../models/stage-spec.ts";
import { seededRandom } from "../gguf/random-tensor.ts";
import { bitsOf, chainOf, nodeIds, openTiny, Pipeline, scratchFolder, segmentOf } from "./pipeline.ts";
import { TOY_BYTES_PER_ROW, ToyMath } from "./toy-math.ts";

const engineFor = (pages: number) =>
  new LocalStageEngine(new ToyMath(), pages * PAGE_ROWS * TOY_BYTES_PER_ROW);
type Engine = ReturnType<typeof engineFor>;

const ones = (count: number, first = 1): number[] => [first, ...Array.from({ length: count - 1 }, () => 1)];

/** Gives [sum of the tokens that the last one sees, number of them]. */
async function prompt(engine: Engine, session: string, tokens: readonly number[], position = 0) {
  const nodes = segmentOf(chainOf(tokens, { firstId: 0, parent: -1, position }));
  const { hidden } = await engine.run({ session, nodes, committed: true });
  return [...hidden.slice(-2)];
}

async function keptSession(engine: Engine, session: string, tokens: readonly number[]): Promise<void> {
  await prompt(engine, session, tokens);
  await engine.keep(session);
}

describe("rows of a session that is over", () => {
  test("serve one that begins alike, which sees them and nothing else of it", async () => {
    const engine = engineFor(8);
    await keptSession(engine, "a", [5, 6, 7, 8]);
    expect(await engine.begin("b", Uint32Array.of(5, 6, 7))).toBe(3);
    expect(await prompt(engine, "b", [20], 3)).toEqual([5 + 6 + 7 + 20, 4]);
    // The first one's rows are as they were.
    expect(await engine.begin("c", Uint32Array.of(5, 6, 7, 8))).toBe(4);
    expect(await prompt(engine, "c", [30], 4)).toEqual([5 + 6 + 7 + 8 + 30, 5]);
  });

  test("are moved when all of them are used, and copied from the one that has them then", async () => {
    const engine = engineFor(8);
    await keptSession(engine, "a", [5, 6]);
    expect(await engine.begin("b", Uint32Array.of(5, 6))).toBe(2);
    expect(await engine.usage()).toMatchObject({ sessions: 1, keptSessions: 0 });
    expect(await engine.begin("c", Uint32Array.of(5, 6))).toBe(2);
    expect(await prompt(engine, "b", [1], 2)).toEqual([12, 3]);
    expect(await prompt(engine, "c", [2], 2)).toEqual([13, 3]);
  });

  test("do not hold guesses that were still open", async () => {
    const engine = engineFor(8);
    await prompt(engine, "a", [5, 6]);
    const guesses = [7, 8].map((token, i) => ({ id: 10 + i, parent: 1, token, position: 2 }));
    await engine.run({ session: "a", nodes: segmentOf(guesses), committed: false });
    await engine.commit("a", nodeIds([guesses[0]!]), tokenId(9));
    await engine.keep("a");
    expect(await engine.begin("b", Uint32Array.of(5, 6, 8))).toBe(2);
    expect(await engine.begin("b", Uint32Array.of(5, 6, 7))).toBe(3);
    expect(await prompt(engine, "b", [9], 3)).toEqual([27, 4]);
  });

  test("are told to be fewer than asked for, and then nothing changes", async () => {
    const engine = engineFor(8);
    await keptSession(engine, "a", [5, 6, 7]);
    const before = await engine.usage();
    expect(await engine.begin("b", Uint32Array.of(5, 6, 9))).toBe(2);
    expect(await engine.begin("b", Uint32Array.of(4))).toBe(0);
    expect(await engine.usage()).toEqual(before);
  });

  test("are not made up: what would follow them computes nothing where they are not", async () => {
    const engine = engineFor(8);
    expect(await prompt(engine, "b", [7], 2)).toEqual([]);
    expect((await engine.usage()).sessions).toBe(0);
  });

  test("stay with the session itself when it begins anew with fewer of them", async () => {
    const engine = engineFor(8);
    await prompt(engine, "a", [5, 6, 7]);
    expect(await engine.begin("a", Uint32Array.of(5, 6))).toBe(2);
    expect(await prompt(engine, "a", [8], 2)).toEqual([19, 3]);
    await engine.begin("a", new Uint32Array(0));
    expect(await prompt(engine, "a", [8])).toEqual([8, 1]);
  });

  test("go when running sessions need the memory, those that were not used for longest first", async () => {
    const engine = engineFor(4);
    for (const first of [2, 3, 4]) await keptSession(engine, `kept ${first}`, ones(PAGE_ROWS, first));
    // Used: so it is not the first to go any more.
    expect(await engine.begin("used", Uint32Array.from(ones(10, 2)))).toBe(10);
    await engine.release("used");
    await prompt(engine, "running", ones(2 * PAGE_ROWS, 9));
    const holds = async (first: number) => (await engine.begin("?", Uint32Array.of(first, 1, 1, 0))) === 3;
    expect([await holds(2), await holds(3), await holds(4)]).toEqual([true, false, true]);
    await prompt(engine, "second", ones(2 * PAGE_ROWS, 8));
    expect(await engine.usage()).toMatchObject({ sessions: 2, keptSessions: 0, keptBytes: 0 });
  });

  test("never go for a run that has no room even without them", async () => {
    const engine = engineFor(3);
    await keptSession(engine, "kept", ones(PAGE_ROWS, 2));
    await prompt(engine, "running", ones(PAGE_ROWS, 3));
    const tooLong = prompt(engine, "another", ones(2 * PAGE_ROWS + 1, 4));
    await expect(tooLong).rejects.toBeInstanceOf(KvBudgetError);
    expect(await engine.usage()).toMatchObject({ sessions: 1, keptSessions: 1 });
  });

  test("are moved where there is no room for a copy, and never from a running session", async () => {
    const engine = engineFor(2);
    await prompt(engine, "running", ones(PAGE_ROWS, 3));
    await keptSession(engine, "kept", ones(PAGE_ROWS, 2));
    expect(await engine.begin("b", Uint32Array.from(ones(5, 2)))).toBe(5);
    expect(await engine.usage()).toMatchObject({ sessions: 2, keptSessions: 0 });
    await expect(engine.begin("c", Uint32Array.from(ones(5, 3)))).rejects.toBeInstanceOf(KvBudgetError);
    expect((await engine.usage()).sessions).toBe(2);
  });

  test("are kept once: a longer session takes the place of its beginning", async () => {
    const engine = engineFor(8);
    await keptSession(engine, "a", [5, 6]);
    await keptSession(engine, "b", [5, 6, 7]);
    await keptSession(engine, "c", [5]);
    expect((await engine.usage()).keptSessions).toBe(1);
    await engine.release("b");
    expect((await engine.usage()).keptSessions).toBe(0);
  });
});

describe.each<Numerics>(["fast", "precise"])("with %s numerics", (numerics) => {
  test("what follows taken-over rows has the same bits as with rows of its own: hidden states, taps and all", async () => {
    await using folder = await scratchFolder();
    const gguf = await openTiny(folder.path, { layers: 4, hidden: 256, heads: 4, kvHeads: 2, ffn: 512 });
    const settings = { bounds: [0, 2, 4], numerics, taps: [1, 3], cacheDir: folder.path };
    await using pipeline = await Pipeline.open(gguf, settings);
    await gguf.close();
    const random = seededRandom(3);
    const tokens = Array.from({ length: 150 }, () => Math.floor(random() * 384));
    const path = chainOf(tokens);
    const rest = (from: number) => chainOf(tokens.slice(from), { firstId: 0, parent: -1, position: from });
    const run = (name: string, from: number) => pipeline.run(name, segmentOf(rest(from)), true);
    const bits = ({ hidden, taps }: Awaited<ReturnType<typeof run>>) =>
      [hidden, ...taps.map(({ rows }) => rows)].map(bitsOf);
    const fresh = async (from: number) => {
      await pipeline.run("fresh", segmentOf(path.slice(0, from)), true);
      const after = chainOf(tokens.slice(from), { firstId: from, parent: from - 1, position: from });
      const found = await pipeline.run("fresh", segmentOf(after), true);
      await pipeline.release("fresh");
      return bits(found);
    };
    // Its rows lie in no order: guesses came and went between them.
    await pipeline.run("first", segmentOf(path.slice(0, 60)), true);
    for (let at = 60; at < 130; at += 2) {
      const own = path.slice(at, at + 2);
      const wrong = own.map((node) => ({ ...node, id: node.id + 5000, token: (node.token + 1) % 384 }));
      await pipeline.run("first", segmentOf([wrong[0]!, own[0]!, own[1]!]), false);
      await pipeline.commit("first", nodeIds(own), tokenId(tokens[at + 2]!));
    }
    for (const engine of pipeline.engines) await engine.keep("first");
    // The first three are copies; the last one takes everything.
    for (const from of [40, 97, 64, 130]) {
      const prefix = Uint32Array.from(tokens.slice(0, from));
      for (const engine of pipeline.engines) expect(await engine.begin(`from ${from}`, prefix)).toBe(from);
      expect(bits(await run(`from ${from}`, from))).toEqual(await fresh(from));
    }
  });
});
