import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MATCH_TOKENS_MAX, type Occurrence, SuffixText } from "../../../models/draft/suffix-text.ts";

const OCCURRENCES_EXAMINED = 48;

/** Few different tokens, so that repeats are common. */
const texts = fc.array(fc.nat(3), { maxLength: 120 });

function naiveOccurrences(text: readonly number[], tail: readonly number[]): Occurrence[] {
  const context = [...text, ...tail];
  const found: Occurrence[] = [];
  for (let next = text.length - 1; next >= 2; next--) {
    let matched = 0;
    while (
      matched < Math.min(next, MATCH_TOKENS_MAX, context.length) &&
      text[next - 1 - matched] === context[context.length - 1 - matched]
    ) {
      matched++;
    }
    if (matched >= 2) found.push({ next, matched });
  }
  return found.slice(0, OCCURRENCES_EXAMINED);
}

function textOf(tokens: readonly number[]): SuffixText {
  const text = new SuffixText();
  text.write(0, Uint32Array.from(tokens));
  return text;
}

const tokensOf = (text: SuffixText) => Array.from({ length: text.length }, (_, i) => text.at(i)!);

describe("occurrences", () => {
  test("are those that a search of the whole text finds", () => {
    fc.assert(
      fc.property(texts, fc.array(fc.nat(3), { maxLength: 4 }), (tokens, tail) => {
        expect(textOf(tokens).occurrences(tail)).toEqual(naiveOccurrences(tokens, tail));
      }),
      { numRuns: 500 },
    );
  });

  test("stay right while the text is rewritten", () => {
    const writes = fc.array(fc.tuple(fc.nat(), fc.array(fc.nat(2), { maxLength: 12 })), { maxLength: 12 });
    fc.assert(
      fc.property(texts, writes, (start, changes) => {
        const text = textOf(start);
        let expected = [...start];
        for (const [place, tokens] of changes) {
          const at = place % (expected.length + 1);
          text.write(at, Uint32Array.from(tokens));
          const isUnchanged = tokens.every((token, i) => expected[at + i] === token);
          if (!isUnchanged) expected = [...expected.slice(0, at), ...tokens];
          expect(tokensOf(text)).toEqual(expected);
          expect(text.occurrences([1])).toEqual(naiveOccurrences(expected, [1]));
        }
      }),
      { numRuns: 300 },
    );
  });
});

test("a text cannot be written behind a gap", () => {
  expect(() => textOf([1, 2]).write(3, Uint32Array.of(1))).toThrow("2 tokens, none can be written at 3");
});
