import type { DequantizableType } from "../models/gguf/dequantize.ts";
import { ggufBytes, type TensorSource, type TypedValue } from "./models/gguf/gguf-bytes.ts";
import { type Random, randomTensorBytes, seededRandom } from "./models/gguf/random-tensor.ts";

/** Types by class of tensor; norms and rope factors are always F32. */
interface TinyTypes {
  readonly embedding: DequantizableType;
  /** LM head; used when the embeddings are not tied. */
  readonly output: DequantizableType;
  readonly attention: DequantizableType;
  readonly ffn: DequantizableType;
}

/** Rows (the `in` length) must be whole blocks: multiples of 32, and of 256 for Q4_K and Q6_K. */
export interface TinyGgufOptions {
  readonly seed: number;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly ffn: number;
  /** At least `MIN_TINY_VOCAB`; the tokens above it are merges of two bytes. */
  readonly vocab: number;
  readonly contextLength: number;
  readonly types: TinyTypes;
  readonly tied: boolean;
  /** Adds rope_freqs.weight. */
  readonly ropeFactors: boolean;
}

const DEFAULTS: TinyGgufOptions = {
  seed: 1,
  hidden: 64,
  layers: 4,
  heads: 4,
  kvHeads: 2,
  ffn: 128,
  vocab: 384,
  contextLength: 512,
  types: { embedding: "Q8_0", output: "Q8_0", attention: "Q4_1", ffn: "Q4_1" },
  tied: true,
  ropeFactors: false,
};

const CONTROL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] as const;
const CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const MIN_TINY_VOCAB = CONTROL_TOKENS.length + 256;

/**
 * Writes a random model of the llama architecture with a byte-level BPE tokenizer: the same file for the
 * same options. It speaks gibberish, but every part of it is there.
 */
export async function writeTinyGguf(path: string, options: Partial<TinyGgufOptions> = {}): Promise<void> {
  const full = { ...DEFAULTS, ...options };
  const metadata = [...modelMetadata(full), ...tokenizerMetadata(full.vocab)];
  await Bun.write(path, ggufBytes({ metadata, tensors: tensorsOf(full) }));
}

function modelMetadata(options: TinyGgufOptions): [string, TypedValue][] {
  return [
    ["general.architecture", { string: "llama" }],
    ["general.name", { string: `tiny ${options.seed}` }],
    ["llama.block_count", { u32: options.layers }],
    ["llama.context_length", { u32: options.contextLength }],
    ["llama.embedding_length", { u32: options.hidden }],
    ["llama.feed_forward_length", { u32: options.ffn }],
    ["llama.attention.head_count", { u32: options.heads }],
    ["llama.attention.head_count_kv", { u32: options.kvHeads }],
    ["llama.attention.layer_norm_rms_epsilon", { f32: 1e-5 }],
    ["llama.rope.dimension_count", { u32: options.hidden / options.heads }],
    ["llama.rope.freq_base", { f32: 10_000 }],
    ["llama.vocab_size", { u32: options.vocab }],
  ];
}

function tokenizerMetadata(vocab: number): [string, TypedValue][] {
  const letters = byteLetters();
  const pairs = letterPairs(vocab - MIN_TINY_VOCAB);
  const tokens = [...CONTROL_TOKENS, ...letters, ...pairs.map((pair) => pair.join(""))];
  const strings = (values: readonly string[]): TypedValue => ({
    array: { of: "string", values: values.map((string) => ({ string })) },
  });
  const tokenTypes = tokens.map((_, token) => ({ i32: token < CONTROL_TOKENS.length ? 3 : 1 }));
  return [
    ["tokenizer.ggml.model", { string: "gpt2" }],
    ["tokenizer.ggml.pre", { string: "smollm" }],
    ["tokenizer.ggml.tokens", strings(tokens)],
    ["tokenizer.ggml.token_type", { array: { of: "i32", values: tokenTypes } }],
    ["tokenizer.ggml.merges", strings(pairs.map((pair) => pair.join(" ")))],
    ["tokenizer.ggml.bos_token_id", { u32: 1 }],
    ["tokenizer.ggml.eos_token_id", { u32: 2 }],
    ["tokenizer.ggml.unknown_token_id", { u32: 0 }],
    ["tokenizer.ggml.padding_token_id", { u32: 2 }],
    ["tokenizer.ggml.add_bos_token", { bool: false }],
    ["tokenizer.ggml.add_space_prefix", { bool: false }],
    ["tokenizer.chat_template", { string: CHAT_TEMPLATE }],
  ];
}

/** GPT-2's printable letter for each byte: the byte itself where it is printable, else from U+0100 on. */
function byteLetters(): string[] {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}

function letterPairs(count: number): [string, string][] {
  const letters = [..."Ġetaoinshrdlucmfwypvbgkjqxz"];
  const pairs = letters.flatMap((first) =>
    letters.filter((second) => second !== "Ġ").map((second): [string, string] => [first, second]),
  );
  if (count < 0 || count > pairs.length) {
    throw new RangeError(`vocab must be ${MIN_TINY_VOCAB} to ${MIN_TINY_VOCAB + pairs.length}`);
  }
  return pairs.slice(0, count);
}

function tensorsOf(options: TinyGgufOptions): TensorSource[] {
  const { hidden, ffn, vocab, types } = options;
  const random = seededRandom(options.seed);
  const kvRows = (hidden / options.heads) * options.kvHeads;
  const matrix = (name: string, type: DequantizableType, rows: number, columns: number): TensorSource => {
    const shape = [rows, columns];
    const bytes = randomTensorBytes({ type, shape, spread: columns ** -0.5 }, random);
    return { name: `${name}.weight`, type, shape, bytes };
  };
  const norm = (name: string): TensorSource => aroundOne(`${name}.weight`, hidden, random);
  const layer = (block: string): TensorSource[] => [
    norm(`${block}.attn_norm`),
    matrix(`${block}.attn_q`, types.attention, hidden, hidden),
    matrix(`${block}.attn_k`, types.attention, kvRows, hidden),
    matrix(`${block}.attn_v`, types.attention, kvRows, hidden),
    matrix(`${block}.attn_output`, types.attention, hidden, hidden),
    norm(`${block}.ffn_norm`),
    matrix(`${block}.ffn_gate`, types.ffn, ffn, hidden),
    matrix(`${block}.ffn_up`, types.ffn, ffn, hidden),
    matrix(`${block}.ffn_down`, types.ffn, hidden, ffn),
  ];
  return [
    matrix("token_embd", types.embedding, vocab, hidden),
    ...Array.from({ length: options.layers }, (_, index) => layer(`blk.${index}`)).flat(),
    norm("output_norm"),
    ...(options.tied ? [] : [matrix("output", types.output, vocab, hidden)]),
    ...(options.ropeFactors ? [aroundOne("rope_freqs.weight", hidden / options.heads / 2, random)] : []),
  ];
}

/** An F32 vector of values from 0.5 to 1.5. */
function aroundOne(name: string, length: number, random: Random): TensorSource {
  const values = Float32Array.from({ length }, () => 0.5 + random());
  return { name, type: "F32", shape: [length], bytes: new Uint8Array(values.buffer) };
}
