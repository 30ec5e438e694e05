import { describe, expect, test } from "bun:test";
import type { GgufValue } from "../../../models/gguf/header.ts";
import { TokenTextDecoder } from "../../../models/text-decoder.ts";
import { loadTokenizer } from "../../../models/tokenizer.ts";
import type { ModelFile } from "../../../models/vocabulary.ts";
import { readReference } from "./default-vocabulary.ts";

interface SentencePiece {
  readonly tokens: string[];
  readonly scores: number[];
  readonly kinds: number[];
  readonly bos: number;
  readonly eos: number;
  readonly cases: readonly { readonly text: string; readonly ids: number[] }[];
}

const reference = await readReference<SentencePiece>("sentence-piece.json");

const fileWith = (changes: readonly [string, GgufValue][]): ModelFile => ({
  path: "pieces.gguf",
  metadata: new Map<string, GgufValue>([
    ["tokenizer.ggml.model", "llama"],
    ["tokenizer.ggml.tokens", reference.tokens],
    ["tokenizer.ggml.scores", reference.scores],
    ["tokenizer.ggml.token_type", reference.kinds],
    ["tokenizer.ggml.bos_token_id", reference.bos],
    ["tokenizer.ggml.eos_token_id", reference.eos],
    ...changes,
  ]),
});

describe("SentencePiece BPE", () => {
  const tokenizer = loadTokenizer(fileWith([]));

  test("encodes as SentencePiece does, token for token", () => {
    const ours = reference.cases.map(({ text }) => ({
      text,
      ids: [...tokenizer.encode(text, { special: false })],
    }));
    expect(ours).toEqual(reference.cases.map(({ text, ids }) => ({ text, ids })));
  });

  test("decodes to the text again, without the leading space", () => {
    for (const { text, ids } of reference.cases) {
      const decoder = new TokenTextDecoder(tokenizer, { hide: [] });
      expect(ids.map((id) => decoder.push([id])).join("") + decoder.flush()).toBe(text);
    }
  });

  test("without add_space_prefix there is no leading space either way", () => {
    const bare = loadTokenizer(fileWith([["tokenizer.ggml.add_space_prefix", false]]));
    const ids = bare.encode(" a", { special: false });
    const decoder = new TokenTextDecoder(bare, { hide: [] });
    expect(decoder.push(ids) + decoder.flush()).toBe(" a");
    expect(bare.tokenText(ids[0] ?? -1).startsWith("\u2581")).toBe(true);
    expect(bare.tokenText(bare.encode("the", { special: false })[0] ?? -1).startsWith("\u2581")).toBe(false);
  });

  test("adds a beginning-of-text token unless the file says otherwise", () => {
    expect(tokenizer.addsBos).toBe(true);
    expect(loadTokenizer(fileWith([["tokenizer.ggml.add_bos_token", false]])).addsBos).toBe(false);
  });

  test("control tokens come from special text only", () => {
    expect([...tokenizer.encode("a</s>", { special: true })].at(-1)).toBe(reference.eos);
    expect([...tokenizer.encode("a</s>", { special: false })]).not.toContain(reference.eos);
  });

  test("a byte token of another form is refused", () => {
    const tokens = reference.tokens.map((token) => (token === "<0x0A>" ? "<newline>" : token));
    const spoilt = loadTokenizer(fileWith([["tokenizer.ggml.tokens", tokens]]));
    expect(() => spoilt.tokenBytes(tokens.indexOf("<newline>"))).toThrow('the byte token "<newline>"');
  });
});
