import type { Tokenizer } from "../../../models/tokenizer.ts";

const encoder = new TextEncoder();
/** Ends an answer; its name is no text of any answer. */
export const BYTE_END = 256;

/** A token a byte, one that ends answers, and the given texts as tokens of their own. */
export function byteTokenizer(...pieces: string[]): Tokenizer {
  const texts = pieces.map((piece) => encoder.encode(piece));
  return {
    encode: (text) => Uint32Array.from(encoder.encode(text)),
    sections: (text) => [text],
    tokenBytes: (id) => (id < 256 ? Uint8Array.of(id) : (texts[id - 257] ?? encoder.encode("<end>"))),
    tokenText: (id) => String(id),
    vocabSize: 257 + texts.length,
    bosToken: undefined,
    addsBos: false,
    eosTokens: [BYTE_END],
    specialTokens: new Map([["<end>", BYTE_END]]),
    dropsLeadingSpace: false,
  };
}
