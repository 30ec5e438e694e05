import { beforeEach, describe, expect, test } from "bun:test";
import { GREEDY } from "../../../decoding/sampling-params.ts";
import { DraftContextError } from "../../../models/draft/draft-context-error.ts";
import { NgramDraftEngine } from "../../../models/draft/ngram-draft-engine.ts";
import { SMALL_TREE } from "./draft-size.ts";

const request = { session: "s", ...SMALL_TREE, total: 16, sampling: GREEDY };
const rows = (position: number, ...next: number[]) => ({
  session: "s",
  position,
  nextTokens: Uint32Array.from(next),
  taps: [],
});

let engine: NgramDraftEngine;
beforeEach(() => {
  engine = new NgramDraftEngine();
});

describe("after a text with a repeat", () => {
  beforeEach(async () => {
    await engine.begin("s", Uint32Array.of(1, 2, 3, 4, 5, 6, 9, 1, 2, 3, 7, 8, 9, 1));
    await engine.extend(rows(13, 2));
  });

  test("drafts every continuation, the one after the longer match first", async () => {
    const { tokens, parents } = await engine.expand({ ...request, path: [2] });
    expect(tokens[0]).toBe(3);
    const afterThree = [...tokens].filter((_, i) => parents[i] === 0);
    // 7 followed "9 1 2 3", 4 only "1 2 3".
    expect(afterThree).toEqual([7, 4]);
  });

  test("deepens to the asked level and no further", async () => {
    const { parents } = await engine.expand({ ...request, depth: 1, path: [2] });
    const depths: number[] = [];
    parents.forEach((parent) => {
      depths.push(parent === -1 ? 1 : depths[parent]! + 1);
    });
    expect(Math.max(...depths)).toBe(2);
  });

  test("follows drafted tokens of the path, found in the text or not", async () => {
    expect([...(await engine.expand({ ...request, path: [2, 3, 4] })).tokens].slice(0, 3)).toEqual([5, 6, 9]);
    expect((await engine.expand({ ...request, path: [2, 77] })).tokens.length).toBe(0);
  });

  test("scores are log-probabilities of a tree", async () => {
    for (const temperature of [0, 1]) {
      const sampling = { ...GREEDY, temperature, seed: 3 };
      const { parents, scores } = await engine.expand({ ...request, path: [2], sampling });
      expect(scores.length).toBeGreaterThan(3);
      parents.forEach((parent, i) => {
        expect(scores[i]!).toBeLessThanOrEqual(parent === -1 ? 0 : scores[parent]!);
        const siblings = [...scores].filter((_, j) => parents[j] === parent);
        const mass = siblings.reduce((sum, score) => sum + Math.exp(score), 0);
        expect(mass).toBeLessThanOrEqual(Math.exp(parent === -1 ? 0 : scores[parent]!) + 1e-6);
      });
    }
  });

  test("tells the best pass by pass, and then the rest", async () => {
    const size = { growth: "best", batch: 1, depth: 4, total: 8 } as const;
    const parts: number[][] = [];
    const rest = await engine.expand({ ...request, ...size, path: [2] }, ({ tokens }) =>
      parts.push([...tokens]),
    );
    // Each part has the ancestors of what is new in it.
    expect(parts).toEqual([[3], [3, 7, 4], [3, 7, 8], [3, 7, 8, 9], [3, 7, 8, 9, 1], [3, 4, 5]]);
    const whole = await engine.expand({ ...request, ...size, path: [2] });
    const told = new Set([...parts.flat(), ...rest.tokens]);
    expect([...whole.tokens].filter((token) => !told.has(token))).toEqual([]);
  });

  test("that is not coupled ranks by counted frequencies at any temperature", async () => {
    const sampling = { ...GREEDY, temperature: 1, seed: 3 };
    const likeliest = await engine.expand({ ...request, path: [2] });
    expect(await engine.expand({ ...request, path: [2], sampling, coupled: false })).toEqual(likeliest);
    expect(await engine.expand({ ...request, path: [2], sampling })).not.toEqual(likeliest);
  });

  test("drafts nothing for a root that it has not heard of yet", async () => {
    expect((await engine.expand({ ...request, path: [3] })).tokens.length).toBe(0);
  });

  test("a repeat of known positions replaces them and all later ones", async () => {
    await engine.extend(rows(9, 7));
    expect((await engine.expand({ ...request, path: [7] })).tokens.length).toBe(0);
    await engine.extend(rows(10, 1, 2));
    expect((await engine.expand({ ...request, path: [2] })).tokens[0]).toBe(3);
  });

  test("forgets a session that is released, and only that", async () => {
    await engine.begin("other", Uint32Array.of(1, 2, 3, 1, 2));
    await engine.release("s");
    expect((await engine.expand({ ...request, path: [2] })).tokens.length).toBe(0);
    expect((await engine.expand({ ...request, session: "other", path: [2] })).tokens[0]).toBe(3);
  });
});

describe("refuses", () => {
  test("rows of a session that was not begun", async () => {
    await expect(engine.extend(rows(0, 1))).rejects.toBeInstanceOf(DraftContextError);
  });

  test("rows behind a gap", async () => {
    await engine.begin("s", Uint32Array.of(1, 2));
    await expect(engine.extend(rows(2, 1))).rejects.toThrow("leave a gap after 2 tokens");
  });
});

test("tells when it has ended", async () => {
  await engine.close();
  expect(await engine.ended).toBeUndefined();
});
