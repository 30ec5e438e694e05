import { ModelFileError } from "./errors.ts";

/** A normalizer or pre-tokenizer object of a Hugging Face tokenizer.json. */
type TextStep = Readonly<Record<string, unknown>> & { readonly type: string };

/** How text is cut into words before BPE, in the terms of a Hugging Face tokenizer.json. */
export interface PreTokenization {
  readonly normalizer: TextStep | null;
  /** Cuts of the text, in this order; each piece is then written in byte letters. */
  readonly splits: readonly TextStep[];
  /** A whole word that is in the vocabulary is taken as it is, whatever the merges say. */
  readonly ignoreMerges: boolean;
}

// The library's own ByteLevel and Digits use JavaScript's \s and \d, which take U+FEFF for a space and
// U+0085 for none, and know only ASCII digits. In Split patterns it keeps to the Rust library's classes.
const split = (pattern: string): TextStep => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});

const EACH_DIGIT = split("\\p{N}");
const GPT2 = split("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");

// (?i:'s|'t|'re|'ve|'m|'ll|'d) written out: without case, the Rust library also matches the long s.
const CONTRACTION = "'(?:[sS\u017ftTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])";
const contractionsFirst = (digits: string): TextStep =>
  split(
    `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  );

const GPT2_WORDS: PreTokenization = { normalizer: null, splits: [GPT2], ignoreMerges: false };
const BY_NAME: ReadonlyMap<string, PreTokenization> = new Map([
  ["default", GPT2_WORDS],
  ["gpt2", GPT2_WORDS],
  ["gpt-2", GPT2_WORDS],
  ["smollm", { normalizer: null, splits: [EACH_DIGIT, GPT2], ignoreMerges: false }],
  ["llama-bpe", { normalizer: null, splits: [contractionsFirst("\\p{N}{1,3}")], ignoreMerges: true }],
  ["qwen2", { normalizer: { type: "NFC" }, splits: [contractionsFirst("\\p{N}")], ignoreMerges: false }],
]);

/**
 * @param name tokenizer.ggml.pre
 * @throws {ModelFileError} that lists the supported names when `name` is not one of them.
 */
export function preTokenization(path: string, name: string): PreTokenization {
  const found = BY_NAME.get(name);
  if (found) return found;
  throw new ModelFileError(
    path,
    `its pre-tokenizer "${name}" is not supported; supported are ${[...BY_NAME.keys()].join(", ")}`,
    "Use a model with one of these",
  );
}
