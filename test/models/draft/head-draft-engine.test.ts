import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GREEDY, type SamplingParams } from "../../../decoding/sampling-params.ts";
import { DraftContextError } from "../../../models/draft/draft-context-error.ts";
import { HeadDraftEngine } from "../../../models/draft/head-draft-engine.ts";
import type { HeadModel } from "../../../models/draft/head-model.ts";
import { OrtHeadModel } from "../../../models/draft/ort-head-model.ts";
import type { DraftCandidates, DraftContext, DraftRequest } from "../../../models/draft-engine.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";
import { seededRandom } from "../gguf/random-tensor.ts";
import { SMALL_TREE } from "./draft-size.ts";
import { type HeadFixture, headFixture } from "./head-fixture.ts";
import type { ReferenceKv } from "./reference-head.ts";
import { writeTinyHead } from "./tiny-head.ts";

const HIDDEN = 64;
const ROWS = 300;

let folder = "";
let head: HeadFixture;
let model: OrtHeadModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tiny-head-"));
  const ggufPath = join(folder, "tiny.gguf");
  await writeTinyGguf(ggufPath);
  head = await headFixture(ggufPath, await writeTinyHead(folder), folder);
  model = await OrtHeadModel.open(head.dir, 1);
});
afterAll(async () => {
  await model.close();
  await rm(folder, { recursive: true });
});

const random = seededRandom(77);
/** Next token of each position. */
const TOKENS = Uint32Array.from({ length: ROWS }, () => Math.floor(random() * 384));
/** Two taps [ROWS, HIDDEN] of very different size, as real ones are. */
const TAPS = [1, 30].map((size) =>
  Float32Array.from({ length: ROWS * HIDDEN }, () => (random() - 0.5) * size),
);

function rowsOf(start: number, end: number, session = "s"): DraftContext {
  return {
    session,
    position: start,
    nextTokens: TOKENS.slice(start, end),
    taps: TAPS.map((tap) => tap.slice(start * HIDDEN, end * HIDDEN)),
  };
}

/** What begin() gets: the text up to the last row's own token. */
const promptOf = (rows: number) => Uint32Array.of(1, ...TOKENS.subarray(0, rows - 1));

const request = { session: "s", ...SMALL_TREE, sampling: GREEDY };
const sampled: SamplingParams = { ...GREEDY, temperature: 1, seed: 12 };

async function drafted(rows: number, path: readonly number[], change: Partial<DraftRequest> = {}) {
  const engine = new HeadDraftEngine(model, { withNgrams: false });
  await engine.begin("s", promptOf(rows));
  await engine.extend(rowsOf(0, rows));
  return engine.expand({ ...request, path: [TOKENS[rows - 1]!, ...path], ...change });
}

/** Each candidate's tokens from below the root, joined. */
function pathsOf({ parents, tokens }: DraftCandidates): string[] {
  const paths: string[] = [];
  tokens.forEach((token, i) => {
    paths.push(parents[i] === -1 ? String(token) : `${paths[parents[i]!]},${token}`);
  });
  return paths;
}

/** Equal trees whose scores differ by rounding only. */
function expectClose(actual: DraftCandidates, expected: DraftCandidates): void {
  expect([...actual.tokens]).toEqual([...expected.tokens]);
  expect([...actual.parents]).toEqual([...expected.parents]);
  actual.scores.forEach((score, i) => {
    expect(Math.abs(score - expected.scores[i]!)).toBeLessThan(1e-3);
  });
}

describe("scores", () => {
  test("agree with the row-by-row reference, along verified rows and drafted ones", async () => {
    const rows = 12;
    const context: ReferenceKv[] = [];
    let row = { drafted: [] as number[], logProbs: [] as number[] };
    for (let position = 0; position < rows; position++) {
      const taps = TAPS.map((tap) => tap.subarray(position * HIDDEN, (position + 1) * HIDDEN));
      const computed = head.reference.row(head.reference.fuse(taps), TOKENS[position]!, position, context);
      context.push(computed.kv);
      row = computed;
    }
    const path: number[] = [];
    for (const token of [30, 300, 3]) {
      const found = await drafted(rows, path, { depth: 0, topK: 64, total: 64 });
      const errors = [...found.tokens].map((id, i) =>
        Math.abs(found.scores[i]! - row.logProbs[model.vocabulary.indexOf(id)]!),
      );
      // The graph rounds weights and activations to 8 bits.
      expect(errors.reduce((sum, error) => sum + error, 0) / errors.length).toBeLessThan(0.04);
      path.push(token);
      const computed = head.reference.row(row.drafted, token, rows - 1 + path.length, context);
      context.push(computed.kv);
      row = computed;
    }
  });

  test("of a tree are those of its paths walked alone", async () => {
    const rows = 20;
    const tree = await drafted(rows, []);
    const paths: number[][] = [];
    tree.tokens.forEach((token, i) => {
      paths.push([...(tree.parents[i] === -1 ? [] : paths[tree.parents[i]!]!), token]);
    });
    expect(Math.max(...paths.map((path) => path.length))).toBeGreaterThan(1);
    for (const [i, path] of paths.entries()) {
      const alone = await drafted(rows, path.slice(0, -1), { depth: 0 });
      const parentScore = tree.parents[i] === -1 ? 0 : tree.scores[tree.parents[i]!]!;
      const own = alone.scores[alone.tokens.indexOf(path.at(-1)!)]!;
      expect(Math.abs(tree.scores[i]! - parentScore - own)).toBeLessThan(1e-3);
    }
  });
});

describe("the context", () => {
  test("is the same in one piece, in pieces and row by row", async () => {
    const expected = await drafted(ROWS, []);
    for (const step of [1, 7, 128, 257]) {
      const engine = new HeadDraftEngine(model, { withNgrams: false });
      await engine.begin("s", promptOf(ROWS));
      for (let start = 0; start < ROWS; start += step) {
        await engine.extend(rowsOf(start, Math.min(ROWS, start + step)));
      }
      expectClose(await engine.expand({ ...request, path: [TOKENS[ROWS - 1]!] }), expected);
    }
  });

  test("is taken over, from a session that runs or is over, as far as the texts agree", async () => {
    const engine = new HeadDraftEngine(model, { withNgrams: false });
    await engine.begin("first", promptOf(ROWS));
    await engine.extend(rowsOf(0, ROWS, "first"));
    const textOf = (common: number) => [...promptOf(ROWS).subarray(0, common), 9, 9, 9];
    for (const begin of [100, 200]) {
      const name = `from ${begin}`;
      // Row p needs the token at p + 1, so with `begin` common tokens one row less is the same.
      await engine.begin(name, Uint32Array.from(textOf(begin)));
      expect(await engine.takeOver(name, begin)).toBe(begin - 1);
      await engine.begin(name, promptOf(ROWS));
      expect(await engine.takeOver(name, begin)).toBe(begin);
      await engine.extend(rowsOf(begin, ROWS, name));
      const found = await engine.expand({ ...request, session: name, path: [TOKENS[ROWS - 1]!] });
      expectClose(found, await drafted(ROWS, []));
      await engine.keep("first");
      await engine.release(name);
    }
    await engine.release("first");
    await engine.begin("s", promptOf(ROWS));
    expect(await engine.takeOver("s", 1)).toBe(0);
  });

  test("still grows when its session is over, and goes when a longer one has all of it", async () => {
    const engine = new HeadDraftEngine(model, { withNgrams: false });
    await engine.begin("first", promptOf(20));
    await engine.extend(rowsOf(0, 10, "first"));
    await engine.keep("first");
    await engine.extend(rowsOf(10, 20, "first"));
    await engine.begin("second", promptOf(30));
    expect(await engine.takeOver("second", 19)).toBe(19);
    await engine.extend(rowsOf(19, 30, "second"));
    await engine.keep("second");
    await engine.release("second");
    await engine.begin("third", promptOf(30));
    expect(await engine.takeOver("third", 5)).toBe(0);
  });

  test("replaces rows that come again, and all later ones", async () => {
    const engine = new HeadDraftEngine(model, { withNgrams: false });
    await engine.begin("s", promptOf(40));
    await engine.extend({ ...rowsOf(0, 40), taps: TAPS.map((tap) => tap.slice(-40 * HIDDEN)) });
    await engine.extend(rowsOf(0, 15));
    expectClose(await engine.expand({ ...request, path: [TOKENS[14]!] }), await drafted(15, []));
  });

  test("forgets what was drafted when rows are verified", async () => {
    const engine = new HeadDraftEngine(model, { withNgrams: false });
    await engine.begin("s", promptOf(30));
    await engine.extend(rowsOf(0, 30));
    await engine.expand({ ...request, path: [TOKENS[29]!] });
    await engine.expand({ ...request, path: [TOKENS[29]!, TOKENS[30]!, 5] });
    await engine.extend(rowsOf(30, 33));
    expectClose(await engine.expand({ ...request, path: [TOKENS[32]!] }), await drafted(33, []));
  });

  test("is each session's own", async () => {
    const engine = new HeadDraftEngine(model, { withNgrams: false });
    await engine.begin("s", promptOf(10));
    await engine.begin("other", promptOf(25));
    await Promise.all([engine.extend(rowsOf(0, 10)), engine.extend(rowsOf(0, 25, "other"))]);
    const [own, other] = await Promise.all([
      engine.expand({ ...request, path: [TOKENS[9]!] }),
      engine.expand({ ...request, session: "other", path: [TOKENS[24]!] }),
    ]);
    expectClose(own, await drafted(10, []));
    expectClose(other, await drafted(25, []));
  });

  test("refuses gaps and sessions that were not begun", async () => {
    const engine = new HeadDraftEngine(model, { withNgrams: false });
    await expect(engine.extend(rowsOf(0, 3))).rejects.toBeInstanceOf(DraftContextError);
    await engine.begin("s", promptOf(10));
    await engine.extend(rowsOf(0, 3));
    await expect(engine.extend(rowsOf(4, 5))).rejects.toThrow("leave a gap after 3 rows");
  });
});

describe("an expansion", () => {
  let engine: HeadDraftEngine;
  let passes: number;
  beforeEach(async () => {
    passes = 0;
    const counting: HeadModel = {
      taps: model.taps,
      hidden: model.hidden,
      layers: model.layers,
      kvHeads: model.kvHeads,
      headDim: model.headDim,
      vocabulary: model.vocabulary,
      fuse: (taps) => model.fuse(taps),
      forward: (pass, cache) => {
        passes++;
        return model.forward(pass, cache);
      },
      close: async () => {},
    };
    engine = new HeadDraftEngine(counting, { withNgrams: false });
    await engine.begin("s", promptOf(20));
    await engine.extend(rowsOf(0, 20));
    passes = 0;
  });
  const root = TOKENS[19]!;

  test("takes one pass a level, and none for what it knows", async () => {
    const first = await engine.expand({ ...request, total: 1000, path: [root] });
    expect(passes).toBe(3);
    expect(await engine.expand({ ...request, total: 1000, path: [root] })).toEqual(first);
    expect(passes).toBe(3);
  });

  test("goes on below a drafted node as if it had walked there", async () => {
    const { tokens } = await engine.expand({ ...request, path: [root] });
    expectClose(
      await engine.expand({ ...request, path: [root, tokens[0]!] }),
      await drafted(20, [tokens[0]!]),
    );
  });

  test("below a root that is not the last verified token drafts nothing", async () => {
    for (const path of [[root + 1], [TOKENS[20]!, 3]]) {
      expect((await engine.expand({ ...request, path })).tokens.length).toBe(0);
    }
    expect((await engine.expand({ ...request, session: "none", path: [root] })).tokens.length).toBe(0);
    expect(passes).toBe(0);
  });

  test("ends early, with what it has, when rows are verified or the session is released", async () => {
    for (const end of [() => engine.extend(rowsOf(20, 21)), () => engine.release("s")]) {
      await engine.begin("s", promptOf(20));
      await engine.extend(rowsOf(0, 20));
      const shallow = await drafted(20, [], { depth: 0 });
      const found = engine.expand({ ...request, depth: 8, total: 1000, path: [root] });
      await end();
      expectClose(await found, shallow);
    }
  });

  test("ends early, with what it has, when a newer one is asked for", async () => {
    const older = engine.expand({ ...request, depth: 8, total: 1000, path: [root] });
    const newer = engine.expand({ ...request, path: [root] });
    expectClose(await older, await drafted(20, [], { depth: 0 }));
    expectClose(await newer, await drafted(20, []));
  });

  test("of the best tells what it has before each pass, and computes nothing twice", async () => {
    const size = { ...SMALL_TREE, growth: "best", batch: 2, depth: 5, total: 30 } as const;
    const parts: DraftCandidates[] = [];
    const passesAt: number[] = [];
    const rest = await engine.expand({ ...request, ...size, path: [root] }, (part) => {
      parts.push(part);
      passesAt.push(passes);
    });
    expect(passesAt[0]).toBe(0);
    expect(parts.length).toBeGreaterThan(2);
    const told = [...parts, rest].flatMap(pathsOf);
    const whole = await drafted(20, [], size);
    expect(pathsOf(whole).filter((path) => !told.includes(path))).toEqual([]);
    const before = passes;
    await engine.expand({ ...request, ...size, path: [root] });
    expect(passes).toBe(before);
  });

  test("takes turns with other sessions' after each pass", async () => {
    await engine.begin("other", promptOf(20));
    const order: string[] = [];
    const size = { ...SMALL_TREE, growth: "best", batch: 1, depth: 5, total: 30 } as const;
    await engine.extend(rowsOf(0, 20, "other"));
    await Promise.all(
      ["s", "other"].map((session) =>
        engine.expand({ ...request, ...size, session, path: [root] }, () => order.push(session)),
      ),
    );
    expect(order.indexOf("other")).toBeLessThan(order.lastIndexOf("s"));
  });

  test("that is not coupled ranks by the model's own probabilities at any temperature", async () => {
    const first = { depth: 0, topK: 64, total: 64 };
    const likeliest = await drafted(20, [], first);
    const independent = await drafted(20, [], { ...first, sampling: sampled, coupled: false });
    expectClose(independent, likeliest);
    const coupled = await engine.expand({ ...request, ...first, path: [root], sampling: sampled });
    expect([...coupled.tokens]).not.toEqual([...likeliest.tokens]);
    const after = await engine.expand({ ...request, path: [root], sampling: sampled, coupled: false });
    expectClose(after, await drafted(20, [], { sampling: sampled, coupled: false }));
  });

  test("is the same whatever was drafted before, at another temperature or seed", async () => {
    await engine.expand({ ...request, path: [root], sampling: { ...sampled, seed: 99 } });
    await engine.expand({ ...request, path: [root] });
    const found = await engine.expand({ ...request, path: [root], sampling: sampled });
    expectClose(found, await drafted(20, [], { sampling: sampled }));
    expect([...found.tokens]).not.toEqual([...(await drafted(20, [])).tokens]);
  });
});

describe("with n-grams", () => {
  test("also drafts what followed the same tokens before, in vocabulary or not", async () => {
    const engine = new HeadDraftEngine(model, { withNgrams: true });
    // 101 is no multiple of 3, so the head itself cannot draft it.
    const text = Uint32Array.of(50, 51, 52, 101, 7, 50, 51);
    await engine.begin("s", text);
    const nextTokens = Uint32Array.of(...text.subarray(1), 52);
    const taps = TAPS.map((tap) => tap.slice(0, nextTokens.length * HIDDEN));
    await engine.extend({ session: "s", position: 0, nextTokens, taps });
    const { tokens, parents } = await engine.expand({ ...request, path: [52] });
    expect(tokens[0]).toBe(101);
    expect(tokens[parents.indexOf(0)]).toBe(7);
  });
});
