import { join } from "node:path";
import { tokenizerSha256 } from "../../../models/draft/tokenizer-hash.ts";
import { openGguf } from "../../../models/gguf/gguf-file.ts";
import { seededRandom } from "../gguf/random-tensor.ts";
import { f16, i32, safetensorsBytes } from "./safetensors-bytes.ts";

/** Sizes of `writeTinyGguf`'s default model. */
const TARGET = { hidden: 64, layers: 4, vocabulary: 384 };
const HEAD = {
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  ffn: 96,
  ropeBase: 10_000,
  rmsEps: 1e-5,
  draftVocabulary: 128,
};

/** Some of a manifest's entries. */
export type ManifestChange = Readonly<Record<string, unknown>>;

/** What a manifest of version 2 has beyond one of version 1. */
export async function secondVersion(ggufPath: string, layers: number): Promise<ManifestChange> {
  const gguf = await openGguf(ggufPath);
  const hash = tokenizerSha256(gguf);
  await gguf.close();
  const rows = [{ depth: 1, top1: 0.5, top4: 0.7, top8: 0.8 }];
  const acceptance = { prompts: 3, tokens: 90, temperature: 0, rows };
  return { version: 2, layers, tokenizerSha256: hash, acceptance, training: { seed: 1, epochs: 2 } };
}

/**
 * Writes a random draft head for the tiny model and gives the path of its manifest, of version 1 unless
 * `change` says otherwise.
 */
export async function writeTinyHead(folder: string, change: ManifestChange = {}): Promise<string> {
  const random = seededRandom(5);
  const { hidden } = TARGET;
  const { heads, kvHeads, headDim, ffn } = HEAD;
  const draftVocabulary = Math.min(Number(change.draftVocabulary ?? HEAD.draftVocabulary), TARGET.vocabulary);
  const matrix = (rows: number, columns: number) => {
    const values = Array.from(
      { length: rows * columns },
      () => ((random() - 0.5) * Math.sqrt(12)) / Math.sqrt(columns),
    );
    return f16(values, [rows, columns]);
  };
  const gain = () =>
    f16(
      Array.from({ length: hidden }, () => 0.5 + random()),
      [hidden],
    );
  // Every third token, then the ones behind those, then the rest.
  const third = TARGET.vocabulary / 3;
  const vocabulary = Array.from(
    { length: draftVocabulary },
    (_, i) => (i % third) * 3 + Math.floor(i / third),
  );
  const layer = (columns: number) => ({
    qkv: matrix((heads + 2 * kvHeads) * headDim, columns),
    attn_output: matrix(hidden, heads * headDim),
    gate_up: matrix(2 * ffn, hidden),
    down: matrix(hidden, ffn),
    norm_mlp: gain(),
  });
  const upper = Array.from({ length: Number(change.layers ?? 1) - 1 }, (_, i) =>
    Object.entries({ ...layer(hidden), norm_attention: gain() }).map(
      ([name, tensor]) => [`layers.${i + 1}.${name}`, tensor] as const,
    ),
  );
  const bytes = safetensorsBytes({
    vocabulary: i32(vocabulary, [draftVocabulary]),
    fc: matrix(hidden, 2 * hidden),
    ...layer(2 * hidden),
    norm_embedding: gain(),
    norm_feature: gain(),
    norm_output: gain(),
    ...Object.fromEntries(upper.flat()),
  });
  await Bun.write(join(folder, "tiny-head.safetensors"), bytes);
  const manifest = {
    format: "flowmesh-draft-head",
    version: 1,
    weights: {
      file: "tiny-head.safetensors",
      sha256: new Bun.CryptoHasher("sha256").update(bytes).digest("hex"),
    },
    target: { name: "tiny", trainedOn: "tiny.gguf", sha256: "0".repeat(64), ...TARGET },
    taps: [2, 4],
    ...HEAD,
    licence: "Apache-2.0",
    training: "random",
    ...change,
  };
  const path = join(folder, "tiny-head.json");
  await Bun.write(path, JSON.stringify(manifest));
  return path;
}
