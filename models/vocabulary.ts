import { ModelFileError } from "./errors.ts";
import type { GgufFile } from "./gguf/gguf-file.ts";
import { MetadataReader } from "./gguf/metadata-reader.ts";

export type ModelFile = Pick<GgufFile, "path" | "metadata">;

/** Values of tokenizer.ggml.token_type. */
export const TokenKind = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** What the file's metadata says about its tokens, checked; the arrays are indexed by token id. */
export interface Vocabulary {
  readonly path: string;
  /** "gpt2" is byte-level BPE, "llama" is SentencePiece BPE. */
  readonly model: "gpt2" | "llama";
  readonly tokens: readonly string[];
  /** `TokenKind` of each token. */
  readonly kinds: readonly number[];
  readonly bos: number | undefined;
  readonly eos: readonly number[];
  readonly addBos: boolean;
}

/** Tokens that end a turn by their common names: files often name only one of several in their metadata. */
const END_OF_TURN: ReadonlySet<string> = new Set([
  "<|im_end|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<|end|>",
  "<end_of_turn>",
  "<|endoftext|>",
]);

/** @throws {ModelFileError} when the metadata lacks a tokenizer, contradicts itself or has an unsupported kind. */
export function readVocabulary(file: ModelFile): Vocabulary {
  const reader = new MetadataReader(file);
  const model = reader.string("tokenizer.ggml.model");
  if (model !== "gpt2" && model !== "llama") {
    throw new ModelFileError(
      file.path,
      `its tokenizer is of the kind "${model}", and supported are "gpt2" (byte-level BPE) and "llama" (SentencePiece BPE)`,
      "Use a model with one of these",
    );
  }
  const tokens = stringList(file, "tokenizer.ggml.tokens");
  const kinds = numberList(file, "tokenizer.ggml.token_type", tokens.length);
  const special = (key: string): number | undefined => {
    const id = reader.optionalToken(`tokenizer.ggml.${key}`);
    if (id === undefined || id < tokens.length) return id;
    throw damaged(file, `tokenizer.ggml.${key} is ${id}, and there are only ${tokens.length} tokens`);
  };
  const named = ["eos_token_id", "eot_token_id", "eom_token_id"].map(special);
  const common = tokens.flatMap((token, id) =>
    kinds[id] === TokenKind.control && END_OF_TURN.has(token) ? [id] : [],
  );
  const eos = [...named.filter((id) => id !== undefined), ...common];
  const bos = special("bos_token_id");
  return {
    path: file.path,
    model,
    tokens,
    kinds,
    bos,
    eos: [...new Set(eos)],
    addBos: bos !== undefined && flag(file, "tokenizer.ggml.add_bos_token", addsBosByDefault(file, model)),
  };
}

/** Files that say nothing follow llama.cpp's defaults. */
function addsBosByDefault(file: ModelFile, model: string): boolean {
  return model === "llama" || file.metadata.get("tokenizer.ggml.pre") === "llama-bpe";
}

export function stringList(file: ModelFile, key: string): readonly string[] {
  const value = file.metadata.get(key);
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw damaged(file, `${key} should be a list of texts`);
}

export function numberList(file: ModelFile, key: string, length: number): readonly number[] {
  const value = file.metadata.get(key);
  if (Array.isArray(value) && value.every((item) => typeof item === "number")) {
    if (value.length === length) return value;
    throw damaged(file, `${key} has ${value.length} entries for ${length} tokens`);
  }
  throw damaged(file, `${key} should be a list of numbers`);
}

export function flag(file: ModelFile, key: string, fallback: boolean): boolean {
  const value = file.metadata.get(key) ?? fallback;
  if (typeof value === "boolean") return value;
  throw damaged(file, `${key} should be true or false`);
}

export function damaged(file: Pick<ModelFile, "path">, problem: string): ModelFileError {
  return new ModelFileError(
    file.path,
    `its tokenizer metadata is unusable: ${problem}`,
    "Use a complete model file",
  );
}
