import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import * as v from "valibot";
import { type GgufFile, openGguf } from "./gguf/gguf-file.ts";

/**
 * A model file cut into parts that have a hash each, so that a machine can have those of its layers alone.
 * There they lie where they lie in the whole file, which stays sparse: it opens like the whole one, and
 * only tensors that nobody reads are missing.
 */
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const partSchema = v.object({
  /** `header` (metadata, tokenizer and all that belongs to no layer), `embedding`, `head` or `layer-<n>`. */
  piece: v.string(),
  offset: count,
  bytes: v.pipe(count, v.minValue(1)),
  sha256: v.string(),
});
export const partListSchema = v.array(partSchema);
export type WeightPart = v.InferOutput<typeof partSchema>;

/** Fetching goes on after the last whole part, so it should not be large. */
const PART_BYTES_MAX = 2 * 2 ** 20;

export const HEADER = "header";

/** What a range of layers needs, and what the draft head needs of the target model. */
export function piecesOfStage(
  firstLayer: number,
  endLayer: number,
  layerCount: number,
  tied: boolean,
): string[] {
  const layers = Array.from({ length: endLayer - firstLayer }, (_, i) => `layer-${firstLayer + i}`);
  const isLast = endLayer === layerCount;
  const embedding = firstLayer === 0 || (isLast && tied) ? ["embedding"] : [];
  return [HEADER, ...embedding, ...layers, ...(isLast ? ["head"] : [])];
}
export const DRAFT_PIECES: readonly string[] = [HEADER, "embedding", "head"];

function pieceOf(tensor: string): string {
  const layer = /^blk\.(\d+)\./.exec(tensor)?.[1];
  if (layer !== undefined) return `layer-${layer}`;
  if (tensor.startsWith("token_embd.")) return "embedding";
  return tensor.startsWith("output") ? "head" : HEADER;
}

interface Range {
  readonly piece: string;
  readonly offset: number;
  readonly bytes: number;
}

function rangesOf(gguf: GgufFile): Range[] {
  const tensors = [...gguf.tensors.values()].toSorted((a, b) => a.offset - b.offset);
  const ranges: Range[] = [{ piece: HEADER, offset: 0, bytes: tensors[0]?.offset ?? gguf.sizeBytes }];
  for (const [index, { name, offset }] of tensors.entries()) {
    // Up to the next one, so that nothing between them is left out.
    const end = tensors[index + 1]?.offset ?? gguf.sizeBytes;
    const piece = pieceOf(name);
    const last = ranges.at(-1)!;
    if (last.piece === piece) ranges[ranges.length - 1] = { ...last, bytes: end - last.offset };
    else ranges.push({ piece, offset, bytes: end - offset });
  }
  return ranges.flatMap(({ piece, offset, bytes }) =>
    Array.from({ length: Math.ceil(bytes / PART_BYTES_MAX) }, (_, i) => {
      const from = i * PART_BYTES_MAX;
      return { piece, offset: offset + from, bytes: Math.min(PART_BYTES_MAX, bytes - from) };
    }),
  );
}

/** All parts of a whole model file. */
export async function listParts(path: string): Promise<WeightPart[]> {
  const gguf = await openGguf(path);
  const ranges = rangesOf(gguf);
  await gguf.close();
  const file = await open(path, "r");
  try {
    const parts: WeightPart[] = [];
    for (const range of ranges) parts.push({ ...range, sha256: sha256(await readRange(file, range)) });
    return parts;
  } finally {
    await file.close();
  }
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** A part's bytes from a file that has them. */
export async function readPart(path: string, part: WeightPart): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    return await readRange(file, part);
  } finally {
    await file.close();
  }
}

async function readRange(file: FileHandle, range: { offset: number; bytes: number }): Promise<Uint8Array> {
  const bytes = new Uint8Array(range.bytes);
  const { bytesRead } = await file.read(bytes, 0, range.bytes, range.offset);
  return bytes.subarray(0, bytesRead);
}

/** A model file of which some parts are there. What it has it finds out by their hashes, so it can't be wrong. */
export class PartialModel {
  readonly path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /** `bytes` is the size of the whole file. */
  static async open(path: string, bytes: number): Promise<PartialModel> {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, "a+").then(async (made) => {
      await made.close();
      return open(path, "r+");
    });
    if ((await file.stat()).size < bytes) await file.truncate(bytes);
    return new PartialModel(path, file);
  }

  async has(part: WeightPart): Promise<boolean> {
    return sha256(await readRange(this.#file, part)) === part.sha256;
  }

  async write(part: WeightPart, bytes: Uint8Array): Promise<void> {
    await this.#file.write(bytes, 0, bytes.length, part.offset);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
