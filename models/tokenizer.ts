import { byteLevelBpe } from "./byte-level-bpe.ts";
import { addsLeadingSpace, sentencePieceBpe } from "./sentence-piece-bpe.ts";
import { type ModelFile, readVocabulary, TokenKind, type Vocabulary } from "./vocabulary.ts";

export interface Tokenizer {
  /**
   * Tokens of a text, without any beginning-of-text token. With `special`, text that spells a control token
   * such as <|im_end|> becomes that token; without, it stays ordinary text: the way for what users write.
   * Bytes that the vocabulary lacks (a few control characters in some) are left out.
   */
  encode(text: string, options: { readonly special: boolean }): Uint32Array;
  /** A text cut at the control tokens it spells: their ids, and the ordinary text between them. */
  sections(text: string): readonly (number | string)[];
  /** Bytes of UTF-8 that the token stands for; a character's bytes may be spread over several tokens. */
  tokenBytes(id: number): Uint8Array;
  /** The name of a token as the vocabulary has it. */
  tokenText(id: number): string;
  readonly vocabSize: number;
  readonly bosToken: number | undefined;
  /** Plain text is to begin with `bosToken`. */
  readonly addsBos: boolean;
  /** Tokens that end an answer, the metadata's eos first. */
  readonly eosTokens: readonly number[];
  /** Control tokens by name. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** The first token's leading space is SentencePiece's mark and no part of the text. */
  readonly dropsLeadingSpace: boolean;
}

/** @throws {ModelFileError} when the metadata has no usable tokenizer, or one of an unsupported kind. */
export function loadTokenizer(file: ModelFile): Tokenizer {
  const vocabulary = readVocabulary(file);
  const { tokens } = vocabulary;
  const isPieces = vocabulary.model === "llama";
  const model = isPieces ? sentencePieceBpe(file, vocabulary) : byteLevelBpe(file, vocabulary);
  const specialTokens = tokensOfKind(vocabulary, TokenKind.control);
  // Tokens that a model's makers added as text, such as <think>: always tokens, whoever writes them.
  const textTokens = tokensOfKind(vocabulary, TokenKind.userDefined);
  const cutText = cutter(textTokens);
  const cutAll = cutter(new Map([...textTokens, ...specialTokens]));
  const encodeOrdinary = (text: string): number[] =>
    cutText(text).flatMap((part) => (typeof part === "number" ? part : model.encode(part)));
  return {
    encode: (text, { special }) =>
      Uint32Array.from(
        special
          ? cutAll(text).flatMap((part) => (typeof part === "number" ? part : model.encode(part)))
          : encodeOrdinary(text),
      ),
    sections: cutAll,
    tokenBytes: (id) => model.bytes(known(id, tokens)),
    tokenText: (id) => tokens[known(id, tokens)]!,
    vocabSize: tokens.length,
    bosToken: vocabulary.bos,
    addsBos: vocabulary.addBos,
    eosTokens: vocabulary.eos,
    specialTokens,
    dropsLeadingSpace: isPieces && addsLeadingSpace(file),
  };
}

function tokensOfKind({ tokens, kinds }: Vocabulary, kind: number): ReadonlyMap<string, number> {
  const found = tokens.flatMap((token, id): [string, number][] =>
    kinds[id] === kind && token ? [[token, id]] : [],
  );
  return new Map(found);
}

/** Cuts at the leftmost of the given tokens, and there at the longest. */
function cutter(tokens: ReadonlyMap<string, number>): (text: string) => (number | string)[] {
  const names = [...tokens.keys()].sort((a, b) => b.length - a.length);
  if (names.length === 0) return (text) => (text ? [text] : []);
  const escaped = names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`(${escaped.join("|")})`);
  return (text) =>
    text
      .split(pattern)
      .filter((part) => part !== "")
      .map((part) => tokens.get(part) ?? part);
}

function known(id: number, tokens: readonly string[]): number {
  if (Number.isInteger(id) && id >= 0 && id < tokens.length) return id;
  throw new RangeError(`Token ${id} is outside the vocabulary: ids run from 0 to ${tokens.length - 1}.`);
}
