import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { provideWeights, Weights, WeightsError } from "../../../actors/mesh/weights.ts";
import { openGguf } from "../../../models/gguf/gguf-file.ts";
import { listParts, piecesOfStage } from "../../../models/weight-parts.ts";
import type { BlobStore } from "../../../transport/blob-store.ts";
import { MemoryMesh } from "../../../transport/memory.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";

class MemoryBlobs implements BlobStore {
  readonly blobs = new Map<string, Uint8Array>();
  has = async (name: string) => this.blobs.has(name);
  get = async (name: string) => this.blobs.get(name);
  put = async (name: string, bytes: Uint8Array) => void this.blobs.set(name, bytes.slice());
}

let folder: string;
let whole: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-weights-"));
  whole = join(folder, "whole.gguf");
  await writeTinyGguf(whole, { layers: 4 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function setUp(name: string) {
  const mesh = new MemoryMesh();
  const blobs = new MemoryBlobs();
  const source = await provideWeights({ mesh: "toy", transport: mesh.connect("up"), blobs }, whole);
  const bytes = Bun.file(whole).size;
  const at = { mesh: "toy", transport: mesh.connect("node"), blobs, path: join(folder, name), bytes };
  return { blobs, source, open: () => new Weights({ ...at, parts: source.parts }) };
}

test("the parts of a file are all of it, each byte once", async () => {
  const parts = await listParts(whole);
  let at = 0;
  for (const { offset, bytes } of parts.toSorted((a, b) => a.offset - b.offset)) {
    expect(offset).toBe(at);
    at += bytes;
  }
  expect(at).toBe(Bun.file(whole).size);
});

test("a machine has the layers that it asked for, and no others; what it has is not fetched again", async () => {
  const { open } = await setUp("some.gguf");
  const pieces = piecesOfStage(1, 3, 4, true);
  const weights = open();
  await weights.ensure(pieces);
  const [own, all] = [await openGguf(weights.path), await openGguf(whole)];
  try {
    for (const [name] of all.tensors) {
      const same = Buffer.compare(await own.readTensor(name), await all.readTensor(name)) === 0;
      expect({ name, same }).toEqual({ name, same: /^blk\.[12]\./.test(name) });
    }
  } finally {
    await Promise.all([own.close(), all.close()]);
  }
  const list = weights.fetchedBytes;
  const again = open();
  await again.ensure(pieces);
  // Only the list of parts came again.
  expect(again.fetchedBytes).toBeLessThan(list / 2);
});

test("a damaged part on the own disk is fetched again", async () => {
  const { open } = await setUp("damaged.gguf");
  await open().ensure(piecesOfStage(0, 4, 4, true));
  const path = join(folder, "damaged.gguf");
  const bytes = new Uint8Array(await Bun.file(path).arrayBuffer());
  bytes[bytes.length - 9] = (bytes[bytes.length - 9] ?? 0) ^ 0xff;
  await Bun.write(path, bytes);
  await open().ensure(piecesOfStage(0, 4, 4, true));
  expect(Buffer.compare(await Bun.file(path).bytes(), await Bun.file(whole).bytes())).toBe(0);
});

test("a part with another hash than it should have is refused by name, and not written", async () => {
  const { blobs, open } = await setUp("wrong.gguf");
  const part = (await listParts(whole)).find(({ piece }) => piece === "layer-2");
  blobs.blobs.set(part?.sha256 ?? "", new Uint8Array(part?.bytes ?? 0));
  const failure = await open()
    .ensure(["layer-2"])
    .catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(WeightsError);
  expect(String(failure)).toMatch(
    /part [0-9a-f]{64} \(layer-2\) is damaged in the mesh's store: its SHA-256 is/,
  );
});
