import { type ModelFile, stringList } from "../vocabulary.ts";

/**
 * What a model's tokens are: SHA-256, in hexadecimal, of their texts as the file has them, in order of their
 * ids, joined by line ends, as UTF-8. Two models with the same hash give the same text the same token ids.
 * @throws {ModelFileError} when the file has no list of tokens.
 */
export function tokenizerSha256(file: ModelFile): string {
  const texts = stringList(file, "tokenizer.ggml.tokens");
  return new Bun.CryptoHasher("sha256").update(texts.join("\n")).digest("hex");
}
