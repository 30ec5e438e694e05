import { join } from "node:path";
import type { HeadManifest } from "../../../models/draft/head-manifest.ts";
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

/** Writes a random draft head for the tiny model and gives the path of its manifest. */
export async function writeTinyHead(folder: string, change: Partial<HeadManifest> = {}): Promise<string> {
  const random = seededRandom(5);
  const { hidden } = TARGET;
  const { heads, kvHeads, headDim, ffn, draftVocabulary } = HEAD;
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
  const vocabulary = Array.from({ length: draftVocabulary }, (_, i) => (i * 3) % TARGET.vocabulary);
  const bytes = safetensorsBytes({
    vocabulary: i32(vocabulary, [draftVocabulary]),
    fc: matrix(hidden, 2 * hidden),
    qkv: matrix((heads + 2 * kvHeads) * headDim, 2 * hidden),
    attn_output: matrix(hidden, heads * headDim),
    gate_up: matrix(2 * ffn, hidden),
    down: matrix(hidden, ffn),
    norm_embedding: gain(),
    norm_feature: gain(),
    norm_mlp: gain(),
    norm_output: gain(),
  });
  await Bun.write(join(folder, "tiny-head.safetensors"), bytes);
  const manifest: HeadManifest = {
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
