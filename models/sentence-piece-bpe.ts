import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import type { TokenModel } from "./byte-level-bpe.ts";
import { damaged, flag, type ModelFile, numberList, TokenKind, type Vocabulary } from "./vocabulary.ts";

/** SentencePiece writes a space as this. */
const SPACE = "\u2581";

/** tokenizer.ggml.model "llama": BPE over characters, and bytes for those that are not in the vocabulary. */
export function sentencePieceBpe(file: ModelFile, vocabulary: Vocabulary): TokenModel {
  const { tokens, kinds } = vocabulary;
  const spaces = { type: "Replace", pattern: { String: " " }, content: SPACE };
  const normalizers = addsLeadingSpace(file) ? [{ type: "Prepend", prepend: SPACE }, spaces] : [spaces];
  const ids = new Map(
    tokens.flatMap((token, id) =>
      kinds[id] === TokenKind.control || kinds[id] === TokenKind.userDefined ? [] : [[token, id]],
    ),
  );
  const unknown = kinds.indexOf(TokenKind.unknown);
  const library = new LibraryTokenizer(
    {
      normalizer: { type: "Sequence", normalizers },
      added_tokens: [],
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      model: {
        type: "BPE",
        vocab: Object.fromEntries(ids),
        merges: mergesByScore(file, vocabulary),
        unk_token: tokens[unknown] ?? null,
        byte_fallback: true,
        ignore_merges: false,
      },
    },
    {},
  );
  return {
    encode: (text) => library.encode(text, { add_special_tokens: false }).ids,
    bytes: (id) => pieceBytes(file, tokens[id] ?? "", kinds[id]),
  };
}

/** Encoding then puts a space before the text, and decoding takes it off again. */
export function addsLeadingSpace(file: ModelFile): boolean {
  return flag(file, "tokenizer.ggml.add_space_prefix", true);
}

/**
 * SentencePiece joins the two neighbours whose union scores best. As a merge list: every way to cut each
 * piece into two others, best score first.
 */
function mergesByScore(file: ModelFile, { tokens, kinds }: Vocabulary): [string, string][] {
  const scores = numberList(file, "tokenizer.ggml.scores", tokens.length);
  const pieces = new Map(
    tokens.flatMap((token, id) => (kinds[id] === TokenKind.normal ? [[token, scores[id]!]] : [])),
  );
  const merges: { pair: [string, string]; score: number }[] = [];
  for (const [piece, score] of pieces) {
    for (let cut = 1; cut < piece.length; cut++) {
      const pair: [string, string] = [piece.slice(0, cut), piece.slice(cut)];
      if (pair.every((half) => pieces.has(half))) merges.push({ pair, score });
    }
  }
  return merges.sort((a, b) => b.score - a.score).map(({ pair }) => pair);
}

function pieceBytes(file: ModelFile, piece: string, kind: number | undefined): Uint8Array {
  if (kind !== TokenKind.byte) return new TextEncoder().encode(piece.replaceAll(SPACE, " "));
  const hex = /^<0x([0-9A-F]{2})>$/.exec(piece)?.[1];
  if (hex) return Uint8Array.of(Number.parseInt(hex, 16));
  throw damaged(file, `the byte token ${JSON.stringify(piece)} is not of the form <0x0A>`);
}
