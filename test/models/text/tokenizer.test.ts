import { beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ModelFileError } from "../../../models/errors.ts";
import type { GgufValue } from "../../../models/gguf/header.ts";
import { loadTokenizer, type Tokenizer } from "../../../models/tokenizer.ts";
import { defaultModelFile, readReferenceLines } from "./default-vocabulary.ts";

interface CorpusLine {
  readonly text: string;
  readonly ids: number[];
  readonly special?: number[];
  readonly decoded?: string;
  readonly others?: Readonly<Record<string, number[]>>;
}

let corpus: CorpusLine[];
let tokenizer: Tokenizer;

beforeAll(async () => {
  corpus = await readReferenceLines<CorpusLine>("tokenizer-corpus.jsonl");
  tokenizer = loadTokenizer(await defaultModelFile());
});

const decodeAll = (tokens: Iterable<number>): string =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(
    Uint8Array.from([...tokens].flatMap((id) => [...tokenizer.tokenBytes(id)])),
  );

describe("the reference corpus, token for token", () => {
  test("has hundreds of texts", () => expect(corpus.length).toBeGreaterThanOrEqual(300));

  test("as ordinary text", () => {
    const ours = corpus.map(({ text }) => ({ text, ids: [...tokenizer.encode(text, { special: false })] }));
    expect(ours).toEqual(corpus.map(({ text, ids }) => ({ text, ids })));
  });

  test("with special tokens", () => {
    const ours = corpus.map(({ text }) => ({ text, ids: [...tokenizer.encode(text, { special: true })] }));
    expect(ours).toEqual(corpus.map(({ text, ids, special }) => ({ text, ids: special ?? ids })));
  });

  test("decoded", () => {
    const ours = corpus.map(({ ids }) => decodeAll(ids));
    expect(ours).toEqual(corpus.map(({ text, decoded }) => decoded ?? text));
  });

  test.each(["gpt2", "llama-bpe", "qwen2"])("with the pre-tokenizer %s", async (pre) => {
    const other = loadTokenizer(await defaultModelFile({ "tokenizer.ggml.pre": pre }));
    const lines = corpus.filter(({ others }) => others !== undefined);
    const ours = lines.map(({ text }) => ({ text, ids: [...other.encode(text, { special: false })] }));
    expect(ours).toEqual(lines.map(({ text, others }) => ({ text, ids: others?.[pre] ?? [] })));
  });
});

describe("special tokens", () => {
  test("are never made of ordinary text, whatever surrounds them", () => {
    const names = [...tokenizer.specialTokens.keys()];
    const fragment = fc.oneof(
      fc.constantFrom(...names),
      fc.constantFrom("<|", "|>", "im_end", " ", "\n", "1"),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 12 }), (fragments) => {
        const ids = tokenizer.encode(fragments.join(""), { special: false });
        const special = new Set(tokenizer.specialTokens.values());
        expect([...ids].filter((id) => special.has(id))).toEqual([]);
      }),
    );
  });

  test("are those that the file marks as control tokens", () => {
    expect(tokenizer.specialTokens.size).toBe(17);
    expect(tokenizer.specialTokens.get("<|im_start|>")).toBe(1);
    expect(tokenizer.bosToken).toBe(1);
    expect(tokenizer.eosTokens).toEqual([2, 0]);
    expect(tokenizer.vocabSize).toBe(49152);
  });

  test("that their makers added as text are tokens in ordinary text, too", async () => {
    const file = await defaultModelFile();
    const kinds = [...(file.metadata.get("tokenizer.ggml.token_type") as number[])];
    kinds[3] = 4;
    const metadata = new Map(file.metadata).set("tokenizer.ggml.token_type", kinds);
    const changed = loadTokenizer({ path: file.path, metadata });
    const ids = [...changed.encode("a<repo_name>b<|im_end|>", { special: false })];
    expect(ids).toContain(3);
    expect(ids).not.toContain(2);
    expect(changed.specialTokens.has("<repo_name>")).toBe(false);
  });
});

test("decoding undoes encoding for every text whose bytes the vocabulary has", () => {
  const covered = new Set(
    Array.from({ length: tokenizer.vocabSize }, (_, id) => [...tokenizer.tokenBytes(id)]).flat(),
  );
  expect(covered.size).toBe(256 - 21);
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.boolean(), (text, special) => {
      fc.pre(new TextEncoder().encode(text).every((byte) => covered.has(byte)));
      expect(decodeAll(tokenizer.encode(text, { special }))).toBe(text);
    }),
  );
});

test("a lone half of a surrogate pair is encoded as U+FFFD", () => {
  expect(tokenizer.encode("a\ud800b", { special: false })).toEqual(
    tokenizer.encode("a\ufffdb", { special: false }),
  );
});

test("the long s after an apostrophe is a contraction, as in the Rust library: what follows is a word of its own", () => {
  const tokens = ["'", "Å", "¿", "a", "¿a"];
  const metadata = new Map<string, GgufValue>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", "qwen2"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", tokens.map(() => 1)],
    ["tokenizer.ggml.merges", ["¿ a"]],
  ]);
  const small = loadTokenizer({ path: "small.gguf", metadata });
  expect([...small.encode("'\u017fa", { special: false })]).toEqual([0, 1, 2, 3]);
  expect([...small.encode("a\u017fa", { special: false })]).toEqual([3, 1, 4]);
});

test("ids outside the vocabulary are refused", () => {
  expect(() => tokenizer.tokenBytes(49152)).toThrow(
    "Token 49152 is outside the vocabulary: ids run from 0 to 49151.",
  );
  expect(() => tokenizer.tokenBytes(-1)).toThrow(RangeError);
  expect(() => tokenizer.tokenBytes(1.5)).toThrow(RangeError);
});

describe("unusable metadata is refused with its name", () => {
  test.each([
    [
      { "tokenizer.ggml.pre": "tekken" },
      'pre-tokenizer "tekken" is not supported; supported are default, gpt2, gpt-2, smollm, llama-bpe, qwen2',
    ],
    [{ "tokenizer.ggml.pre": 3 }, "tokenizer.ggml.pre should be a text"],
    [{ "tokenizer.ggml.model": "bert" }, 'its tokenizer is of the kind "bert", and supported are "gpt2"'],
    [{ "tokenizer.ggml.model": undefined }, "its metadata lacks tokenizer.ggml.model"],
    [{ "tokenizer.ggml.tokens": undefined }, "tokenizer.ggml.tokens should be a list of texts"],
    [{ "tokenizer.ggml.token_type": undefined }, "tokenizer.ggml.token_type should be a list of numbers"],
    [{ "tokenizer.ggml.tokens": ["a", "b"] }, "tokenizer.ggml.token_type has 49152 entries for 2 tokens"],
    [{ "tokenizer.ggml.merges": ["ab"] }, 'the merge "ab" is not two tokens'],
    [
      { "tokenizer.ggml.eos_token_id": 49152 },
      "tokenizer.ggml.eos_token_id is 49152, and there are only 49152 tokens",
    ],
    [{ "tokenizer.ggml.add_bos_token": "yes" }, "tokenizer.ggml.add_bos_token should be true or false"],
  ])("%j", async (changes, message) => {
    const file = await defaultModelFile(changes);
    expect(() => loadTokenizer(file)).toThrow(ModelFileError);
    expect(() => loadTokenizer(file)).toThrow(message);
  });
});
