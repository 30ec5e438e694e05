import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEQUANTIZABLE_TYPES, dequantize } from "../models/gguf/dequantize.ts";
import { openGguf } from "../models/gguf/gguf-file.ts";
import { readLlamaConfig } from "../models/gguf/llama-config.ts";
import { type TinyGgufOptions, writeTinyGguf } from "./tiny-gguf.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tiny-gguf-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function written(options: Partial<TinyGgufOptions>): Promise<string> {
  const path = join(folder, `${crypto.randomUUID()}.gguf`);
  await writeTinyGguf(path, options);
  return path;
}

test.each([...DEQUANTIZABLE_TYPES])(
  "weights of type %s are finite, centred and of useful size",
  async (type) => {
    const types = { embedding: type, output: type, attention: type, ffn: type };
    const path = await written({ hidden: 256, ffn: 512, layers: 1, tied: false, ropeFactors: true, types });
    const gguf = await openGguf(path);
    readLlamaConfig(gguf);
    const values = dequantize(type, await gguf.readTensor("blk.0.ffn_down.weight"), 256 * 512);
    await gguf.close();
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
    expect(Math.abs(mean)).toBeLessThan(0.002);
    expect(deviation * Math.sqrt(512)).toBeWithin(0.8, 2);
  },
);

test("the seed decides the file", async () => {
  const [a, b, c] = await Promise.all(
    [1, 1, 2].map(async (seed) => Bun.file(await written({ seed })).bytes()),
  );
  expect(Buffer.compare(a!, b!)).toBe(0);
  expect(Buffer.compare(a!, c!)).not.toBe(0);
});

test("impossible sizes are refused", async () => {
  await expect(written({ vocab: 100 })).rejects.toThrow(/vocab must be/);
  const types = { embedding: "Q6_K", output: "Q8_0", attention: "Q8_0", ffn: "Q8_0" } as const;
  await expect(written({ hidden: 64, types })).rejects.toThrow(/64 elements is not whole Q6_K blocks/);
});
