import { describe, expect, test } from "bun:test";
import { compare } from "../../bench/comparison.ts";
import { differentAnswers } from "../../bench/identity.ts";
import { madeRun } from "./made-records.ts";

describe("a comparison", () => {
  test("pairs answers to the same turn of the same prompt in the same repeat", () => {
    const baseline = [
      madeRun({ prompt: "a", repeat: 1, decodedTokens: 10, decodeMs: 1000 }),
      madeRun({ prompt: "a", repeat: 2, decodedTokens: 10, decodeMs: 2000 }),
      madeRun({ prompt: "a", repeat: 1, turn: 2, decodedTokens: 10, decodeMs: 4000 }),
      madeRun({ prompt: "b", repeat: 1, decodedTokens: 10, decodeMs: 1000 }),
    ];
    const runs = [
      madeRun({ prompt: "b", repeat: 1, decodedTokens: 10, decodeMs: 500 }),
      madeRun({ prompt: "a", repeat: 2, decodedTokens: 10, decodeMs: 500 }),
      madeRun({ prompt: "a", repeat: 1, decodedTokens: 10, decodeMs: 1000 }),
      madeRun({ prompt: "a", repeat: 1, turn: 2, decodedTokens: 10, decodeMs: 500 }),
      madeRun({ prompt: "c", repeat: 1 }),
    ];
    const { paired, total } = compare(runs, baseline, 1);
    expect(paired).toMatchObject({ count: 4, min: 1, median: 3, max: 8 });
    expect(total.ratio).toBeCloseTo(8000 / 2500, 10);
  });

  test("leaves out answers that came in one commit: they have no rate", () => {
    const baseline = [madeRun({ prompt: "a" }), madeRun({ prompt: "b", decodedTokens: 0, decodeMs: 0 })];
    const runs = [madeRun({ prompt: "a", decodeMs: 200 }), madeRun({ prompt: "b" })];
    expect(compare(runs, baseline, 1)).toMatchObject({
      paired: { count: 1, median: 2 },
      total: { ratio: 2 },
    });
  });
});

describe("answers", () => {
  test("that are plain decoding's, in every repeat and scenario, do not differ", () => {
    const runs = [1, 2, 3].flatMap((repeat) =>
      ["flowspec", "autoregressive"].map((policy) => madeRun({ policy, repeat })),
    );
    expect(differentAnswers(runs)).toEqual([]);
  });

  test("that differ are told with the first token that does", () => {
    const where = { policy: "flowspec", prompt: "p1", turn: 1, temperature: 0 };
    const runs = [
      madeRun({}),
      madeRun({ ...where, repeat: 1, tokens: [1, 2, 9, 4, 5] }),
      madeRun({ ...where, repeat: 2, tokens: [1, 2, 3, 4] }),
      madeRun({ ...where, repeat: 3, tokens: [1, 2, 3, 4, 5, 6] }),
      madeRun({ repeat: 2, tokens: [9] }),
    ];
    expect(differentAnswers(runs)).toEqual([
      { ...where, repeat: 1, at: 2 },
      { ...where, repeat: 2, at: 4 },
      { ...where, repeat: 3, at: 5 },
      { ...where, policy: "autoregressive", repeat: 2, at: 0 },
    ]);
  });

  test("are compared with those to the same turn at the same temperature", () => {
    const runs = [
      madeRun({ tokens: [1] }),
      madeRun({ turn: 2, tokens: [2] }),
      madeRun({ temperature: 1, tokens: [3] }),
      madeRun({ policy: "naive", turn: 2, tokens: [2] }),
      madeRun({ policy: "naive", temperature: 1, tokens: [3] }),
    ];
    expect(differentAnswers(runs)).toEqual([]);
  });
});
