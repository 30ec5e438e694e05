import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ModelFileError } from "../../../models/errors.ts";
import { type GgufFile, openGguf } from "../../../models/gguf/gguf-file.ts";
import type { GgufTensor, GgufValue } from "../../../models/gguf/header.ts";
import { readLlamaConfig } from "../../../models/gguf/llama-config.ts";
import { defaultModelPath } from "../../model.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";

let folder: string;
let tiny: GgufFile;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "llama-config-"));
  const path = join(folder, "tiny.gguf");
  await writeTinyGguf(path, { layers: 2, tied: false });
  tiny = await openGguf(path);
});
afterAll(async () => {
  await tiny.close();
  await rm(folder, { recursive: true });
});

const withMetadata = (changes: Readonly<Record<string, GgufValue | undefined>>): GgufFile => {
  const metadata = new Map(tiny.metadata);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) metadata.delete(key);
    else metadata.set(key, value);
  }
  return { ...tiny, metadata };
};

const withTensor = (name: string, change: Partial<GgufTensor> | undefined): GgufFile => {
  const tensors = new Map(tiny.tensors);
  if (change)
    tensors.set(name, { ...(tensors.get(name) ?? tensors.get("output_norm.weight")!), name, ...change });
  else tensors.delete(name);
  return { ...tiny, tensors };
};

function refusal(gguf: GgufFile): string {
  try {
    readLlamaConfig(gguf);
  } catch (error) {
    expect(error).toBeInstanceOf(ModelFileError);
    return (error as ModelFileError).message;
  }
  throw new Error("not refused");
}

test("the default model is what its makers say it is", async () => {
  const gguf = await openGguf(await defaultModelPath());
  await gguf.close();
  expect(readLlamaConfig(gguf)).toEqual({
    name: "Smollm2 135M 8k Lc100K Mix1 Ep2",
    hidden: 576,
    layers: 30,
    heads: 9,
    kvHeads: 3,
    headDim: 64,
    ffn: 1536,
    vocab: 49_152,
    contextLength: 8192,
    ropeBase: 100_000,
    rmsEps: Math.fround(1e-5),
    tiedEmbeddings: true,
    bosToken: 1,
    eosTokens: [2, 0],
  });
});

describe("optional settings", () => {
  test("have the values that llama.cpp takes when a file leaves them out", () => {
    const config = readLlamaConfig(
      withMetadata({
        "general.name": undefined,
        "llama.rope.freq_base": undefined,
        "llama.rope.dimension_count": undefined,
        "llama.vocab_size": undefined,
        "tokenizer.ggml.bos_token_id": undefined,
      }),
    );
    expect(config).toMatchObject({ name: "llama", ropeBase: 10_000, vocab: 384, headDim: 16 });
    expect(config).not.toHaveProperty("bosToken");
    expect(config).not.toHaveProperty("ropeFactors");
  });

  test("an LM head of its own, rope factors and a sliding window are seen", () => {
    expect(readLlamaConfig(tiny).tiedEmbeddings).toBe(false);
    expect(readLlamaConfig(withTensor("output.weight", undefined)).tiedEmbeddings).toBe(true);
    const factors = withTensor("rope_freqs.weight", { shape: [8] });
    expect(readLlamaConfig(factors).ropeFactors).toBe("rope_freqs.weight");
    expect(readLlamaConfig(withMetadata({ "llama.attention.sliding_window": 128 })).contextLength).toBe(128);
    expect(readLlamaConfig(withMetadata({ "llama.attention.sliding_window": 0 })).contextLength).toBe(512);
  });

  test("a number for each layer counts as one when they agree", () => {
    expect(readLlamaConfig(withMetadata({ "llama.attention.head_count_kv": [2, 2] })).kvHeads).toBe(2);
    expect(refusal(withMetadata({ "llama.attention.head_count_kv": [2, 4] }))).toContain(
      "a list of 2 values",
    );
  });

  test("every token that ends an answer is found", () => {
    const tokens = { "tokenizer.ggml.eot_token_id": 7, "tokenizer.ggml.eom_token_id": 2 };
    // 0 is the control token <|endoftext|>, which the metadata names nowhere.
    expect(readLlamaConfig(withMetadata(tokens)).eosTokens).toEqual([2, 7, 0]);
    const absent = withMetadata({ "tokenizer.ggml.bos_token_id": 0xffff_ffff });
    expect(readLlamaConfig(absent)).not.toHaveProperty("bosToken");
  });
});

describe("a model that cannot be run is refused", () => {
  test("for its architecture, naming those that can", () => {
    expect(refusal(withMetadata({ "general.architecture": "mamba" }))).toMatch(
      /mamba is not supported.*: llama/,
    );
  });

  test("for a key that is missing or makes no sense", () => {
    for (const key of [
      "general.architecture",
      "llama.embedding_length",
      "llama.block_count",
      "llama.feed_forward_length",
      "llama.context_length",
      "llama.attention.head_count",
      "llama.attention.layer_norm_rms_epsilon",
    ]) {
      expect(refusal(withMetadata({ [key]: undefined }))).toContain(`lacks ${key}`);
    }
    for (const value of [0, -1, 1.5, "64", true]) {
      expect(refusal(withMetadata({ "llama.embedding_length": value }))).toContain(
        `gives ${value} for llama.emb`,
      );
    }
    expect(refusal(withMetadata({ "llama.rope.freq_base": 0 }))).toContain("number above 0");
    expect(refusal(withMetadata({ "llama.attention.head_count_kv": 3 }))).toContain("3 key-value heads");
    expect(refusal(withMetadata({ "llama.attention.head_count_kv": 0 }))).toContain("0 key-value heads");
  });

  test("for a feature that would change its result if it were ignored", () => {
    expect(refusal(withMetadata({ "llama.rope.scaling.type": "yarn" }))).toContain(
      "rope scaling of type yarn",
    );
    expect(refusal(withMetadata({ "llama.rope.scale_linear": 4 }))).toContain("linear rope scaling by 4");
    expect(refusal(withMetadata({ "llama.expert_count": 8 }))).toContain("8 experts");
    expect(refusal(withMetadata({ "llama.rope.dimension_count": 8 }))).toContain("rope on 8 of 16");
    expect(refusal(withMetadata({ "llama.attention.value_length": 8 }))).toContain("value heads of 8");
    expect(refusal(withTensor("blk.0.attn_q.bias", {}))).toContain("blk.0.attn_q.bias");
  });

  test("for a tensor that is missing, misshapen or quantised in another way", () => {
    expect(refusal(withTensor("blk.1.ffn_up.weight", undefined))).toContain("blk.1.ffn_up.weight is missing");
    expect(refusal(withTensor("token_embd.weight", undefined))).toContain("token_embd.weight is missing");
    const turned = withTensor("blk.0.attn_k.weight", { shape: [64, 32] });
    expect(refusal(turned)).toContain("blk.0.attn_k.weight has the shape [64, 32] instead of [32, 64]");
    const message = refusal(withTensor("blk.0.ffn_down.weight", { type: "IQ2_XS" }));
    expect(message).toContain("blk.0.ffn_down.weight is quantised as IQ2_XS");
    expect(message).toContain("F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K");
    for (const layers of [3, 0xffff_ffff]) {
      const more = withMetadata({ "llama.block_count": layers });
      expect(refusal(more)).toContain("blk.2.attn_norm.weight is missing");
    }
  });
});
