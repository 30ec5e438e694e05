import { describe, expect, test } from "bun:test";
import { DEPTHS_MAX, followAnswer } from "../../../bench/drafters/followed-answer.ts";
import type { TargetAnswer } from "../../../bench/drafters/target-answer.ts";
import type {
  DraftCandidates,
  DraftContext,
  DraftEngine,
  DraftRequest,
} from "../../../models/draft-engine.ts";

const HIDDEN = 2;
const PROMPT = Uint32Array.of(50, 51, 52);
const TOKENS = Array.from({ length: 12 }, (_, i) => 100 + i);
const POSITIONS = PROMPT.length + TOKENS.length - 1;

/** Row of a position in a tapped layer: both numbers tell where it is from. */
const row = (layer: number, position: number) => [layer, position];
const rowsOf = (layer: number) =>
  Float32Array.from(Array.from({ length: POSITIONS }, (_, position) => row(layer, position)).flat());
const ANSWER: TargetAnswer = {
  prompt: PROMPT,
  tokens: TOKENS,
  rows: new Map([2, 4].map((layer) => [layer, rowsOf(layer)])),
};

/** Guesses numbers that are no tokens of the answer, but the right one at the place that `place` says, if any. */
class ScriptedEngine implements DraftEngine {
  readonly taps = [4, 2];
  readonly contexts: DraftContext[] = [];
  readonly requests: DraftRequest[] = [];
  released = 0;
  readonly #place: (root: number, depth: number) => number | undefined;

  constructor(place: (root: number, depth: number) => number | undefined) {
    this.#place = place;
  }

  async begin(_: string, tokens: Uint32Array): Promise<void> {
    expect([...tokens]).toEqual([...PROMPT]);
  }

  async extend(context: DraftContext): Promise<void> {
    this.contexts.push(context);
  }

  async expand(request: DraftRequest): Promise<DraftCandidates> {
    this.requests.push(request);
    const root = TOKENS.indexOf(request.path[0]!);
    const depth = request.path.length;
    expect(request.path).toEqual(TOKENS.slice(root, root + depth));
    const tokens = Uint32Array.from({ length: request.topK }, (_, i) => 500 + i);
    const place = this.#place(root, depth);
    if (place !== undefined && place < tokens.length) tokens[place] = TOKENS[root + depth] ?? 0;
    return {
      parents: new Int32Array(tokens.length).fill(-1),
      tokens,
      scores: Float32Array.from(tokens, (_, i) => -i - 1 / 3),
    };
  }

  async release(): Promise<void> {
    this.released++;
  }

  async close(): Promise<void> {}
}

function follow(engine: ScriptedEngine, temperature = 0, coupled = true) {
  const source = { name: "scripted", kind: "head" } as const;
  const drafter = { source, engine, counted: { passes: 0, nodes: 0 } };
  return followAnswer(drafter, ANSWER, { temperature, seed: 7, coupled });
}

describe("hits", () => {
  test("count the tokens that are there to be guessed, by depth", async () => {
    const { hits } = await follow(new ScriptedEngine(() => undefined));
    expect(hits.map(({ tokens }) => tokens)).toEqual([11, 10, 9, 8, 7, 6]);
    expect(hits.map(({ within }) => within)).toEqual(Array.from({ length: DEPTHS_MAX }, () => [0, 0, 0]));
  });

  test("are within as many guesses as it takes to reach the right one", async () => {
    // At depth 1, roots 0 to 10 have the right token at the places 0 to 8, then not at all.
    const { hits } = await follow(new ScriptedEngine((root, depth) => (depth === 1 ? root : undefined)));
    expect(hits[0]!.within).toEqual([1, 4, 8]);
    const third = await follow(new ScriptedEngine((_, depth) => (depth === 3 ? 3 : undefined)));
    expect(third.hits.map(({ within }) => within[1])).toEqual([0, 0, 9, 0, 0, 0]);
    expect(third.hits[2]!.within).toEqual([0, 9, 9]);
  });
});

test("the drafter gets the prompt's rows, then one a token, in the order of its taps", async () => {
  const engine = new ScriptedEngine(() => undefined);
  await follow(engine);
  expect(engine.contexts.map(({ position }) => position)).toEqual([0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  expect([...engine.contexts[0]!.nextTokens]).toEqual([51, 52, 100]);
  for (const { position, nextTokens, taps } of engine.contexts) {
    const rows = [...nextTokens.keys()].map((i) => position + i);
    expect([...taps[0]!]).toEqual(rows.flatMap((at) => row(4, at)));
    expect([...taps[1]!]).toEqual(rows.flatMap((at) => row(2, at)));
    expect(taps[0]!.length).toBe(rows.length * HIDDEN);
    if (position > 0) expect([...nextTokens]).toEqual([TOKENS[position - PROMPT.length + 1]!]);
  }
  expect(engine.released).toBe(1);
});

test("there is a tree for each token, none below the last, with rounded scores", async () => {
  const { trees } = await follow(new ScriptedEngine(() => 0));
  expect(trees.length).toBe(TOKENS.length);
  expect(trees.at(-1)).toEqual({ parents: [], tokens: [], scores: [] });
  expect(trees[3]!.tokens[0]).toBe(TOKENS[4]!);
  expect(trees[3]!.scores[0]).toBe(-0.333);
});

test("guesses are made for the answer's own temperature and noise", async () => {
  const engine = new ScriptedEngine(() => undefined);
  await follow(engine, 1);
  expect(new Set(engine.requests.map(({ sampling }) => `${sampling.temperature} ${sampling.seed}`))).toEqual(
    new Set(["1 7"]),
  );
});

test("times are taken of single passes and of expansions, by turns", async () => {
  const { times } = await follow(new ScriptedEngine(() => undefined));
  expect(times.extendMs.length).toBe(10);
  expect(times.passMs.map(({ nodes }) => nodes)).toEqual([1, 2, 4, 8, 16, 1]);
  expect(times.expansions.length).toBe(5);
});

test.each([true, false])("all guesses are coupled with the noise or none (%p)", async (coupled) => {
  const engine = new ScriptedEngine(() => undefined);
  await follow(engine, 1, coupled);
  expect(new Set(engine.requests.map((request) => request.coupled))).toEqual(new Set([coupled]));
});
