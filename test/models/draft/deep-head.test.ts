import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GREEDY } from "../../../decoding/sampling-params.ts";
import { HeadDraftEngine } from "../../../models/draft/head-draft-engine.ts";
import { OrtHeadModel } from "../../../models/draft/ort-head-model.ts";
import type { DraftCandidates } from "../../../models/draft-engine.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";
import { seededRandom } from "../gguf/random-tensor.ts";
import { SMALL_TREE } from "./draft-size.ts";
import { type HeadFixture, headFixture } from "./head-fixture.ts";
import type { ReferenceKv } from "./reference-head.ts";
import { secondVersion, writeTinyHead } from "./tiny-head.ts";

const HIDDEN = 64;
const ROWS = 140;
const LAYERS = 3;

let folder = "";
let head: HeadFixture;
let model: OrtHeadModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "deep-head-"));
  const ggufPath = join(folder, "tiny.gguf");
  await writeTinyGguf(ggufPath);
  const manifest = await writeTinyHead(folder, await secondVersion(ggufPath, LAYERS));
  head = await headFixture(ggufPath, manifest, folder);
  model = await OrtHeadModel.open(head.dir, 1);
});
afterAll(async () => {
  await model.close();
  await rm(folder, { recursive: true });
});

const random = seededRandom(78);
/** Next token of each position. */
const TOKENS = Uint32Array.from({ length: ROWS }, () => Math.floor(random() * 384));
const TAPS = [1, 30].map((size) =>
  Float32Array.from({ length: ROWS * HIDDEN }, () => (random() - 0.5) * size),
);
const tapRows = (start: number, end: number) => TAPS.map((tap) => tap.slice(start * HIDDEN, end * HIDDEN));

/** A session with that many verified rows, which came `step` at a time. */
async function sessionOf(rows: number, step = rows): Promise<HeadDraftEngine> {
  const engine = new HeadDraftEngine(model, { withNgrams: false });
  await engine.begin("s", Uint32Array.of(1, ...TOKENS.subarray(0, rows - 1)));
  for (let start = 0; start < rows; start += step) {
    const end = Math.min(rows, start + step);
    const nextTokens = TOKENS.slice(start, end);
    await engine.extend({ session: "s", position: start, nextTokens, taps: tapRows(start, end) });
  }
  return engine;
}

const request = { session: "s", ...SMALL_TREE, sampling: GREEDY };

function expectClose(actual: DraftCandidates, expected: DraftCandidates): void {
  expect([...actual.tokens]).toEqual([...expected.tokens]);
  expect([...actual.parents]).toEqual([...expected.parents]);
  actual.scores.forEach((score, i) => {
    expect(Math.abs(score - expected.scores[i]!)).toBeLessThan(1e-3);
  });
}

describe(`a head of ${LAYERS} layers`, () => {
  test("has as many in graph and manifest", () => {
    expect(model.layers).toBe(LAYERS);
    expect(head.manifest.version).toBe(2);
  });

  test("gives the scores of the row-by-row reference, along verified rows and drafted ones", async () => {
    const rows = 10;
    const context: ReferenceKv[] = [];
    let row = { drafted: [] as number[], logProbs: [] as number[] };
    for (let position = 0; position < rows; position++) {
      const feature = head.reference.fuse(tapRows(position, position + 1));
      const computed = head.reference.row(feature, TOKENS[position]!, position, context);
      context.push(computed.kv);
      row = computed;
    }
    const engine = await sessionOf(rows);
    const path = [TOKENS[rows - 1]!];
    for (const token of [30, 300, 3]) {
      const found = await engine.expand({ ...request, path, depth: 0, topK: 64, total: 64 });
      const errors = [...found.tokens].map((id, i) =>
        Math.abs(found.scores[i]! - row.logProbs[model.vocabulary.indexOf(id)]!),
      );
      // The graph rounds weights and activations to 8 bits, in each layer.
      expect(errors.reduce((sum, error) => sum + error, 0) / errors.length).toBeLessThan(0.08);
      path.push(token);
      const computed = head.reference.row(row.drafted, token, rows - 2 + path.length, context);
      context.push(computed.kv);
      row = computed;
    }
  });

  test("drafts the same whether its context came in one piece, in pieces or row by row", async () => {
    const path = [TOKENS[ROWS - 1]!];
    const expected = await (await sessionOf(ROWS)).expand({ ...request, path });
    for (const step of [1, 50]) {
      expectClose(await (await sessionOf(ROWS, step)).expand({ ...request, path }), expected);
    }
  });

  test("scores a tree as its paths walked alone", async () => {
    const root = TOKENS[19]!;
    const tree = await (await sessionOf(20)).expand({ ...request, path: [root] });
    const paths: number[][] = [];
    tree.tokens.forEach((token, i) => {
      paths.push([...(tree.parents[i] === -1 ? [] : paths[tree.parents[i]!]!), token]);
    });
    expect(Math.max(...paths.map((path) => path.length))).toBeGreaterThan(2);
    for (const [i, path] of paths.entries()) {
      const engine = await sessionOf(20);
      const alone = await engine.expand({ ...request, path: [root, ...path.slice(0, -1)], depth: 0 });
      const parentScore = tree.parents[i] === -1 ? 0 : tree.scores[tree.parents[i]!]!;
      const own = alone.scores[alone.tokens.indexOf(path.at(-1)!)]!;
      expect(Math.abs(tree.scores[i]! - parentScore - own)).toBeLessThan(1e-3);
    }
  });
});
