import { ModelFileError } from "../errors.ts";
import { DEQUANTIZABLE_TYPES, isDequantizable } from "./dequantize.ts";
import type { GgufFile } from "./gguf-file.ts";
import type { GgufTensor } from "./header.ts";
import { MetadataReader } from "./metadata-reader.ts";

/** Architectures (`general.architecture`) that can be run. */
const SUPPORTED_ARCHITECTURES: readonly string[] = ["llama"];

/** Per-frequency divisors of long-context rope (as in Llama 3.1): F32 [headDim / 2]. */
const ROPE_FACTORS = "rope_freqs.weight";

/** A model of the Llama family, as its file describes it. Sizes are in elements. */
export interface LlamaConfig {
  readonly name: string;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly ffn: number;
  readonly vocab: number;
  /** Tokens. */
  readonly contextLength: number;
  readonly ropeBase: number;
  /** Name of the tensor with rope's frequency divisors F32 [headDim / 2], where the model has them. */
  readonly ropeFactors?: string;
  readonly rmsEps: number;
  /** The LM head is the embedding table: there is no tensor output.weight. */
  readonly tiedEmbeddings: boolean;
  readonly bosToken?: number;
  /** Every token that ends an answer. */
  readonly eosTokens: readonly number[];
}

/**
 * Reads the configuration of a Llama-architecture model and checks that each tensor it needs is there,
 * has the right shape and can be dequantised.
 * @throws {ModelFileError} that names what is missing or not supported.
 */
export function readLlamaConfig(gguf: GgufFile): LlamaConfig {
  const metadata = new MetadataReader(gguf);
  refuseOtherArchitecture(gguf, metadata.string("general.architecture"));
  const hidden = metadata.count("llama.embedding_length");
  const heads = metadata.count("llama.attention.head_count");
  const kvHeads = metadata.optionalCount("llama.attention.head_count_kv") ?? heads;
  const headDim = metadata.optionalCount("llama.attention.key_length") ?? hidden / heads;
  const embedding = gguf.tensors.get("token_embd.weight");
  refuseOddHeads(gguf, { heads, kvHeads, headDim });
  refuseUnsupportedFeatures(gguf, metadata, headDim);
  const bosToken = metadata.optionalToken("tokenizer.ggml.bos_token_id");
  const config: LlamaConfig = {
    name: metadata.optionalString("general.name") ?? "llama",
    hidden,
    layers: metadata.count("llama.block_count"),
    heads,
    kvHeads,
    headDim,
    ffn: metadata.count("llama.feed_forward_length"),
    vocab: embedding?.shape[0] ?? metadata.count("llama.vocab_size"),
    contextLength: contextLength(metadata),
    ropeBase: metadata.optionalPositive("llama.rope.freq_base") ?? 10_000,
    ...(gguf.tensors.has(ROPE_FACTORS) ? { ropeFactors: ROPE_FACTORS } : {}),
    rmsEps: metadata.positive("llama.attention.layer_norm_rms_epsilon"),
    tiedEmbeddings: !gguf.tensors.has("output.weight"),
    ...(bosToken === undefined ? {} : { bosToken }),
    eosTokens: eosTokens(gguf, metadata),
  };
  checkTensors(gguf, config);
  return config;
}

function refuseOtherArchitecture(gguf: GgufFile, architecture: string): void {
  if (SUPPORTED_ARCHITECTURES.includes(architecture)) return;
  const supported = SUPPORTED_ARCHITECTURES.join(", ");
  throw new ModelFileError(
    gguf.path,
    `its architecture ${architecture} is not supported`,
    `Choose a model of a supported architecture: ${supported} (SmolLM2, Llama 2 and 3, TinyLlama, Mistral 7B …)`,
  );
}

function refuseOddHeads(gguf: GgufFile, config: Pick<LlamaConfig, "heads" | "kvHeads" | "headDim">): void {
  const { heads, kvHeads, headDim } = config;
  if (heads % kvHeads === 0 && headDim % 2 === 0) return;
  throw new ModelFileError(
    gguf.path,
    `it has ${heads} heads of ${headDim} elements and ${kvHeads} key-value heads, which do not divide evenly`,
    "Check that the file was converted correctly",
  );
}

/** Settings that would change the result if they were ignored. */
function refuseUnsupportedFeatures(gguf: GgufFile, metadata: MetadataReader, headDim: number): void {
  const refuse = (feature: string): never => {
    throw new ModelFileError(gguf.path, `it uses ${feature}, which is not supported`, "Choose another model");
  };
  const scaling = metadata.optionalString("llama.rope.scaling.type");
  if (scaling !== undefined && scaling !== "none") refuse(`rope scaling of type ${scaling}`);
  const linear = metadata.optionalPositive("llama.rope.scale_linear") ?? 1;
  if (linear !== 1) refuse(`linear rope scaling by ${linear}`);
  const experts = metadata.optionalCount("llama.expert_count") ?? 0;
  if (experts > 0) refuse(`a mixture of ${experts} experts`);
  const rotary = metadata.optionalCount("llama.rope.dimension_count") ?? headDim;
  if (rotary !== headDim) refuse(`rope on ${rotary} of ${headDim} elements of a head`);
  const valueDim = metadata.optionalCount("llama.attention.value_length") ?? headDim;
  if (valueDim !== headDim) refuse(`value heads of ${valueDim} elements beside key heads of ${headDim}`);
}

/** Attention over a sliding window equals full attention as long as the context fits into the window. */
function contextLength(metadata: MetadataReader): number {
  const window = metadata.optionalCount("llama.attention.sliding_window") || Number.POSITIVE_INFINITY;
  return Math.min(metadata.count("llama.context_length"), window);
}

/** Files often name only one of the tokens that their model was trained to stop with. */
const END_TEXTS: ReadonlySet<string> = new Set([
  "<|im_end|>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<|end|>",
  "</s>",
]);
const CONTROL_TOKEN = 3;

function eosTokens(gguf: GgufFile, metadata: MetadataReader): readonly number[] {
  const keys = ["eos_token_id", "eot_token_id", "eom_token_id"];
  const named = keys.map((key) => metadata.optionalToken(`tokenizer.ggml.${key}`));
  const texts = gguf.metadata.get("tokenizer.ggml.tokens");
  const kinds = gguf.metadata.get("tokenizer.ggml.token_type");
  const tokens = new Set(named.filter((token) => token !== undefined));
  if (Array.isArray(texts) && Array.isArray(kinds)) {
    texts.forEach((text, token) => {
      if (kinds[token] === CONTROL_TOKEN && END_TEXTS.has(text)) tokens.add(token);
    });
  }
  return [...tokens];
}

/** Name and shape ([out, in]) of every tensor that the configuration calls for. */
function* expectedTensors(config: LlamaConfig): Generator<[name: string, shape: readonly number[]]> {
  const { hidden, ffn, vocab } = config;
  const queryRows = config.heads * config.headDim;
  const kvRows = config.kvHeads * config.headDim;
  yield ["token_embd.weight", [vocab, hidden]];
  yield ["output_norm.weight", [hidden]];
  if (!config.tiedEmbeddings) yield ["output.weight", [vocab, hidden]];
  if (config.ropeFactors) yield [config.ropeFactors, [config.headDim / 2]];
  for (let layer = 0; layer < config.layers; layer++) {
    const block = `blk.${layer}`;
    yield [`${block}.attn_norm.weight`, [hidden]];
    yield [`${block}.attn_q.weight`, [queryRows, hidden]];
    yield [`${block}.attn_k.weight`, [kvRows, hidden]];
    yield [`${block}.attn_v.weight`, [kvRows, hidden]];
    yield [`${block}.attn_output.weight`, [hidden, queryRows]];
    yield [`${block}.ffn_norm.weight`, [hidden]];
    yield [`${block}.ffn_gate.weight`, [ffn, hidden]];
    yield [`${block}.ffn_up.weight`, [ffn, hidden]];
    yield [`${block}.ffn_down.weight`, [hidden, ffn]];
  }
}

function checkTensors(gguf: GgufFile, config: LlamaConfig): void {
  const expected = new Set<string>();
  for (const [name, shape] of expectedTensors(config)) {
    checkTensor(gguf, name, shape);
    expected.add(name);
  }
  for (const name of gguf.tensors.keys()) {
    if (expected.has(name)) continue;
    throw new ModelFileError(
      gguf.path,
      `it has the tensor ${name}, which belongs to a variant of the architecture that is not supported`,
      "Choose another model",
    );
  }
}

function checkTensor(gguf: GgufFile, name: string, shape: readonly number[]): void {
  const tensor = gguf.tensors.get(name);
  if (!tensor) {
    throw new ModelFileError(
      gguf.path,
      `the tensor ${name} is missing`,
      "Fetch the file again; if the model is split over several files, merge them with llama-gguf-split --merge",
    );
  }
  refuseUnsupportedType(gguf, tensor);
  if (tensor.shape.join() !== shape.join()) {
    throw new ModelFileError(
      gguf.path,
      `the tensor ${name} has the shape [${tensor.shape.join(", ")}] instead of [${shape.join(", ")}]`,
      "Check that the file was converted correctly",
    );
  }
}

function refuseUnsupportedType(gguf: GgufFile, tensor: GgufTensor): void {
  if (isDequantizable(tensor.type)) return;
  throw new ModelFileError(
    gguf.path,
    `the tensor ${tensor.name} is quantised as ${tensor.type}, which is not supported`,
    `Choose a file whose tensors are all among ${DEQUANTIZABLE_TYPES.join(", ")}`,
  );
}
