import { dequantize } from "../gguf/dequantize.ts";
import type { GgufFile } from "../gguf/gguf-file.ts";
import type { LlamaConfig } from "../gguf/llama-config.ts";
import { readVector, weightTensor } from "../graph/weight-tensor.ts";

export interface DraftVocabularyRows {
  /** [hidden] gain of the target's final norm, which its LM head expects in front. */
  readonly gain: Float32Array;
  /** [vocabulary, hidden] */
  readonly rows: Float32Array;
}

/** The rows of the target's LM head for `vocabulary` [draft vocabulary] token ids. */
export async function draftVocabularyRows(
  gguf: GgufFile,
  config: LlamaConfig,
  vocabulary: Int32Array,
): Promise<DraftVocabularyRows> {
  const name = config.tiedEmbeddings ? "token_embd.weight" : "output.weight";
  const { type, rows: tokens, columns } = weightTensor(gguf, name);
  const bytes = await gguf.readTensor(name);
  const rowBytes = bytes.byteLength / tokens;
  const rows = new Float32Array(vocabulary.length * columns);
  vocabulary.forEach((token, i) => {
    const row = bytes.subarray(token * rowBytes, (token + 1) * rowBytes);
    rows.set(dequantize(type, row, columns), i * columns);
  });
  return { gain: await readVector(gguf, "output_norm.weight"), rows };
}
