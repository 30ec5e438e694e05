import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { TokenTextDecoder } from "../../../models/text-decoder.ts";
import { loadTokenizer } from "../../../models/tokenizer.ts";
import { defaultModelFile, readReferenceLines } from "./default-vocabulary.ts";

/** A vocabulary with a token for each byte, and 256 for a hidden one. */
const bytewise = { tokenBytes: (id: number) => Uint8Array.of(id), dropsLeadingSpace: false };
const HIDDEN = 256;

/** Decodes UTF-8 by the letter of the standard (Unicode 15, table 3-7), with U+FFFD for each maximal subpart. */
function decodeByTable(bytes: readonly number[]): string {
  const rest = (low: number, high: number, more: number) => [[low, high], ...Array(more).fill([0x80, 0xbf])];
  const following = (first: number): number[][] | undefined => {
    if (first < 0x80) return [];
    if (first >= 0xc2 && first <= 0xdf) return rest(0x80, 0xbf, 0);
    if (first === 0xe0) return rest(0xa0, 0xbf, 1);
    if (first === 0xed) return rest(0x80, 0x9f, 1);
    if (first >= 0xe1 && first <= 0xef) return rest(0x80, 0xbf, 1);
    if (first === 0xf0) return rest(0x90, 0xbf, 2);
    if (first >= 0xf1 && first <= 0xf3) return rest(0x80, 0xbf, 2);
    return first === 0xf4 ? rest(0x80, 0x8f, 2) : undefined;
  };
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const ranges = following(bytes[at]!);
    let length = 1;
    let code = bytes[at]! & (0x7f >> (ranges?.length ? ranges.length + 1 : 0));
    for (const [low, high] of ranges ?? []) {
      const byte = bytes[at + length] ?? -1;
      if (byte < low! || byte > high!) break;
      code = (code << 6) | (byte & 0x3f);
      length++;
    }
    text += ranges && length === ranges.length + 1 ? String.fromCodePoint(code) : "\ufffd";
    at += length;
  }
  return text;
}

/** Pushes `tokens` in chunks of the given sizes, over and over; gives the text and every part of it. */
function pushInChunks(
  decoder: TokenTextDecoder,
  tokens: readonly number[],
  sizes: readonly number[],
): string[] {
  const parts: string[] = [];
  for (let at = 0, turn = 0; at < tokens.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    parts.push(decoder.push(tokens.slice(at, at + size)));
    at += size;
  }
  parts.push(decoder.flush());
  return parts;
}

const chunkSizes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 });
// Bytes near the edges of UTF-8's table, so that cut and forbidden sequences are common.
const byte = fc.oneof(
  fc.constantFrom(
    0x20,
    0x41,
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xc0,
    0xc2,
    0xe0,
    0xe2,
    0xed,
    0xef,
    0xbb,
    0xf0,
    0xf4,
    0xf5,
    0xff,
  ),
  fc.integer({ min: 0, max: 255 }),
);

describe("any bytes, in any chunks", () => {
  test("give what decoding all at once gives", () => {
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 24 }), chunkSizes, (bytes, sizes) => {
        const decoder = new TokenTextDecoder(bytewise, { hide: [HIDDEN] });
        expect(pushInChunks(decoder, bytes, sizes).join("")).toBe(decodeByTable(bytes));
      }),
      { numRuns: 3000 },
    );
  });

  test("hidden tokens leave no trace, not even within a character", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(byte, fc.constant(HIDDEN)), { maxLength: 24 }),
        chunkSizes,
        (tokens, sizes) => {
          const decoder = new TokenTextDecoder(bytewise, { hide: [HIDDEN] });
          const shown = tokens.filter((token) => token !== HIDDEN);
          expect(pushInChunks(decoder, tokens, sizes).join("")).toBe(decodeByTable(shown));
        },
      ),
    );
  });

  test("a valid text is never shown with U+FFFD, and what is whole is shown at once", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 12 }), (text) => {
        fc.pre(!text.includes("\ufffd"));
        const decoder = new TokenTextDecoder(bytewise, { hide: [] });
        const parts = Array.from(text, (character) =>
          [...new TextEncoder().encode(character)].map((unit) => decoder.push([unit])).join(""),
        );
        expect(parts).toEqual([...text]);
        expect(decoder.flush()).toBe("");
      }),
    );
  });
});

test("a cut character becomes U+FFFD at the flush, and the decoder starts afresh", () => {
  const decoder = new TokenTextDecoder(bytewise, { hide: [] });
  expect(decoder.push([0xf0, 0x9f, 0x98])).toBe("");
  expect(decoder.flush()).toBe("\ufffd");
  expect(decoder.push([0x80])).toBe("\ufffd");
});

test("a byte order mark is text like any other", () => {
  const decoder = new TokenTextDecoder(bytewise, { hide: [] });
  expect(decoder.push([0xef, 0xbb, 0xbf, 0x41])).toBe("\ufeffA");
});

test("the reference corpus, token by token", async () => {
  const tokenizer = loadTokenizer(await defaultModelFile());
  const lines = await readReferenceLines<{ text: string; ids: number[]; decoded?: string }>(
    "tokenizer-corpus.jsonl",
  );
  for (const { text, ids, decoded } of lines) {
    const decoder = new TokenTextDecoder(tokenizer, { hide: tokenizer.specialTokens.values() });
    expect(pushInChunks(decoder, ids, [1]).join("")).toBe(decoded ?? text);
  }
});
