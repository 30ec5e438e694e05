import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { NO_COUNTS, type PathCounts, PathTokens } from "../../decoding/path-tokens.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";

const PRESENCE = { ...GREEDY, presencePenalty: 1 };
const REPETITION = { ...GREEDY, repetitionPenalty: 1.2 };

const entries = ({ tokens, inAnswer }: PathCounts) =>
  new Map(Array.from(tokens, (token, i) => [token, inAnswer[i]!]));

/** Counts taken from scratch. */
function expected(path: readonly number[], promptTokens: number, withPrompt: boolean): Map<number, number> {
  const answer = path.slice(promptTokens);
  const asked = new Set(withPrompt ? path : answer);
  return new Map([...asked].map((token) => [token, answer.filter((one) => one === token).length] as const));
}

describe("PathTokens", () => {
  test("counts what was written last at each position, with any tail behind it", () => {
    const tokens = fc.array(fc.nat(6), { maxLength: 8 });
    const writes = fc.array(fc.record({ start: fc.nat(40), tokens }), { maxLength: 12 });
    fc.assert(
      fc.property(writes, fc.nat(12), tokens, (all, promptTokens, tail) => {
        const path = new PathTokens(promptTokens);
        let plain: number[] = [];
        for (const { start: wish, tokens } of all) {
          const start = wish % (plain.length + 1);
          const isSame = tokens.every((token, i) => plain[start + i] === token);
          path.write(start, tokens);
          if (!isSame) plain = [...plain.slice(0, start), ...tokens];
          expect(path.length).toBe(plain.length);
          for (const params of [PRESENCE, REPETITION]) {
            const counts = path.counts(params, tail);
            expect(new Set(counts.tokens).size).toBe(counts.tokens.length);
            expect(entries(counts)).toEqual(
              expected([...plain, ...tail], promptTokens, params === REPETITION),
            );
            expect(entries(path.counts(params))).toEqual(
              expected(plain, promptTokens, params === REPETITION),
            );
          }
        }
      }),
    );
  });

  test("has nothing to say to parameters without penalties", () => {
    const path = new PathTokens(1);
    path.write(0, [1, 2, 3]);
    expect(path.counts({ ...GREEDY, temperature: 1, minP: 0.1 }, [4])).toBe(NO_COUNTS);
  });

  test("refuses a gap", () => {
    const path = new PathTokens(1);
    path.write(0, [1, 2]);
    expect(() => path.write(3, [4])).toThrow("the path has 2 tokens, none can be written at 3");
  });
});
