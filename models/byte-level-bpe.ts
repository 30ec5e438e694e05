import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { type PreTokenization, preTokenization } from "./pre-tokenizer.ts";
import { damaged, type ModelFile, stringList, TokenKind, type Vocabulary } from "./vocabulary.ts";

/** Turns ordinary text into tokens and tokens into bytes; special tokens are its caller's business. */
export interface TokenModel {
  encode(text: string): readonly number[];
  bytes(id: number): Uint8Array;
}

/** GPT-2's letter for each byte: the byte's own character where it is printable, else one from U+0100 on. */
function byteLetters(): string[] {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}

/** tokenizer.ggml.model "gpt2". */
export function byteLevelBpe(file: ModelFile, vocabulary: Vocabulary): TokenModel {
  const { tokens, kinds } = vocabulary;
  const pre = file.metadata.get("tokenizer.ggml.pre") ?? "default";
  if (typeof pre !== "string") throw damaged(file, "tokenizer.ggml.pre should be a text");
  const letters = byteLetters();
  // Control tokens are left out, so that no text can ever become one here.
  const ids = new Map(tokens.flatMap((token, id) => (kinds[id] === TokenKind.normal ? [[token, id]] : [])));
  const library = new LibraryTokenizer(
    {
      normalizer: null,
      added_tokens: [],
      post_processor: null,
      decoder: null,
      ...librarySteps(
        preTokenization(file.path, pre),
        letters.filter((letter) => !ids.has(letter)),
      ),
      model: {
        type: "BPE",
        vocab: Object.fromEntries(ids),
        merges: mergesOf(file),
        ignore_merges: preTokenization(file.path, pre).ignoreMerges,
      },
    },
    {},
  );
  const byteOf = new Map(letters.map((letter, byte) => [letter, byte]));
  return {
    encode: (text) => library.encode(text, { add_special_tokens: false }).ids,
    bytes: (id) => lettersToBytes(tokens[id] ?? "", byteOf),
  };
}

function librarySteps(words: PreTokenization, missing: readonly string[]): object {
  const steps = [...words.splits, { type: "ByteLevel", add_prefix_space: false, use_regex: false }];
  // Few vocabularies have every byte. The Rust library drops the others before it merges, so that their
  // neighbours can meet; the JavaScript one would drop them afterwards.
  const letters = missing.map((letter) => letter.replace(/[.*+?^${}()|[\]\\]/, "\\$&"));
  const drop = { type: "Replace", pattern: { Regex: letters.join("|") }, content: "" };
  return {
    normalizer: words.normalizer,
    pre_tokenizer: { type: "Sequence", pretokenizers: missing.length > 0 ? [...steps, drop] : steps },
  };
}

function mergesOf(file: ModelFile): [string, string][] {
  return stringList(file, "tokenizer.ggml.merges").map((merge) => {
    const [left, right, ...rest] = merge.split(" ");
    if (left && right && rest.length === 0) return [left, right];
    throw damaged(file, `the merge ${JSON.stringify(merge)} is not two tokens with a space between them`);
  });
}

/** Tokens with a character that is no byte letter are plain text, as in the Rust library's decoder. */
function lettersToBytes(token: string, byteOf: ReadonlyMap<string, number>): Uint8Array {
  const bytes = Array.from(token, (letter) => byteOf.get(letter));
  if (bytes.every((byte) => byte !== undefined)) return Uint8Array.from(bytes);
  return new TextEncoder().encode(token);
}
