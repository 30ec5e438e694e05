import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileDraftHead, DEFAULT_HEAD_MANIFEST } from "../../../models/draft/compile-head.ts";
import { LAYERS_GRAPH, readCompiledHead } from "../../../models/draft/compiled-head.ts";
import { headWeightsPath, readHeadManifest } from "../../../models/draft/head-manifest.ts";
import { readHeadWeights } from "../../../models/draft/head-weights.ts";
import { ModelFileError } from "../../../models/errors.ts";
import { type GgufFile, openGguf } from "../../../models/gguf/gguf-file.ts";
import { hashFile } from "../../../models/provision/file-hash.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";
import { type ManifestChange, secondVersion, writeTinyHead } from "./tiny-head.ts";

let folder = "";
let gguf: GgufFile;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "compile-head-"));
  await writeTinyGguf(join(folder, "tiny.gguf"));
  gguf = await openGguf(join(folder, "tiny.gguf"));
});
afterAll(async () => {
  await gguf.close();
  await rm(folder, { recursive: true });
});

const freshFolder = () => mkdtemp(join(folder, "case-"));

async function compileTiny(change: ManifestChange = {}): Promise<string> {
  const cacheDir = await freshFolder();
  return compileDraftHead(gguf, {
    manifestPath: await writeTinyHead(cacheDir, change),
    cacheDir,
    sourceHash: "a",
  });
}

async function problemOf(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ModelFileError);
  return (error as ModelFileError).message;
}

describe("the compiled head", () => {
  test("is taken from the cache, made anew when a file is damaged, and leaves nothing beside it", async () => {
    const cacheDir = await freshFolder();
    const options = { manifestPath: await writeTinyHead(cacheDir), cacheDir, sourceHash: "a" };
    const dir = await compileDraftHead(gguf, options);
    const layer = join(dir, LAYERS_GRAPH);
    const { mtimeMs } = await Bun.file(layer).stat();
    const hash = await hashFile(layer);
    expect(await compileDraftHead(gguf, options)).toBe(dir);
    expect((await Bun.file(layer).stat()).mtimeMs).toBe(mtimeMs);
    await truncate(layer, 100);
    expect(await compileDraftHead(gguf, options)).toBe(dir);
    expect(await hashFile(layer)).toBe(hash);
    expect((await readdir(cacheDir)).filter((name) => name.includes("partial"))).toEqual([]);
  });

  test("is one when several processes make it at the same time", async () => {
    const cacheDir = await freshFolder();
    const options = { manifestPath: await writeTinyHead(cacheDir), cacheDir, sourceHash: "a" };
    const dirs = await Promise.all(Array.from({ length: 4 }, () => compileDraftHead(gguf, options)));
    expect(new Set(dirs).size).toBe(1);
    expect((await readCompiledHead(dirs[0]!)).vocabulary.length).toBe(128);
  });

  test("of the whole vocabulary is one, too", async () => {
    const cacheDir = await freshFolder();
    const manifestPath = await writeTinyHead(cacheDir, { draftVocabulary: 384 });
    const dir = await compileDraftHead(gguf, { manifestPath, cacheDir, sourceHash: "a" });
    expect((await readCompiledHead(dir)).vocabulary.length).toBe(384);
  });

  test("differs for another target file", async () => {
    const cacheDir = await freshFolder();
    const options = { manifestPath: await writeTinyHead(cacheDir), cacheDir };
    const first = await compileDraftHead(gguf, { ...options, sourceHash: "a" });
    expect(await compileDraftHead(gguf, { ...options, sourceHash: "b" })).not.toBe(first);
  });
});

describe("a head is refused", () => {
  test("for a target of other sizes, which are all named", async () => {
    const target = { name: "Big", trainedOn: "big.gguf", sha256: "0".repeat(64) };
    const sizes = { hidden: 128, layers: 4, vocabulary: 500 };
    const problem = await problemOf(compileTiny({ target: { ...target, ...sizes } }));
    expect(problem).toContain("for Big and does not fit tiny 1");
    expect(problem).toContain("hidden size 128, not 64; vocabulary 500, not 384");
  });

  test("when it taps a layer that is not there", async () => {
    expect(await problemOf(compileTiny({ taps: [2, 5] }))).toContain("taps layer 5 of a model with 4 layers");
  });

  test("when its weights are others than its manifest says", async () => {
    const weights = { file: "tiny-head.safetensors", sha256: "1".repeat(64) };
    expect(await problemOf(compileTiny({ weights }))).toContain("SHA-256 differ");
    const missing = { file: "none.safetensors", sha256: "1".repeat(64) };
    expect(await problemOf(compileTiny({ weights: missing }))).toContain("no such file");
  });

  test("when its weights have other shapes or tokens than its manifest says", async () => {
    expect(await problemOf(compileTiny({ ffn: 64 }))).toContain("tensor gate_up is F16 [192, 64]");
    const manifest = await writeTinyHead(await freshFolder());
    const parsed = await readHeadManifest(manifest);
    const target = { ...parsed.target, vocabulary: 100 };
    const weights = readHeadWeights(headWeightsPath(manifest, parsed), { ...parsed, target });
    expect(await problemOf(weights)).toContain("tokens outside the target's 100");
  });

  test("when its model has other tokens, though as many", async () => {
    const other = { ...(await secondVersion(gguf.path, 1)), tokenizerSha256: "2".repeat(64) };
    expect(await problemOf(compileTiny(other))).toContain("does not fit tiny 1 (the tokens are others)");
  });

  test("when weights and manifest disagree about its layers", async () => {
    const version2 = await secondVersion(gguf.path, 3);
    const path = await writeTinyHead(await freshFolder(), version2);
    const manifest = await readHeadManifest(path);
    const weights = (layers: number) =>
      readHeadWeights(headWeightsPath(path, manifest), { ...manifest, layers });
    expect((await weights(3)).upper.length).toBe(2);
    expect(await problemOf(weights(2))).toContain("it has 3 layers, and its manifest says 2");
    expect(await problemOf(weights(4))).toContain("no tensor layers.3.norm_attention");
  });

  test.each([
    [{ version: 3 }, "version 3, and this program reads 1 and 2"],
    [{ taps: [4, 2] }, "taps: ascending layers are needed"],
    [{ taps: [2, 2] }, "taps: ascending layers are needed"],
    [{ ffn: 100 }, "ffn: "],
    [{ heads: 3, kvHeads: 2 }, "heads must be a multiple of kvHeads"],
    [{ draftVocabulary: 400 }, "draftVocabulary must not be greater"],
    [{ weights: { file: "../x.safetensors", sha256: "1".repeat(64) } }, "a file name without folders"],
    [{ version: 2 }, "layers: "],
    [{ training: 3 }, "training: "],
  ])("when its manifest says %p", async (change, problem) => {
    expect(await problemOf(compileTiny(change))).toContain(problem);
  });

  test("when its manifest is none", async () => {
    const path = join(await freshFolder(), "head.json");
    expect(await problemOf(readHeadManifest(path))).toContain("cannot be read");
    await Bun.write(path, "{");
    expect(await problemOf(readHeadManifest(path))).toContain("cannot be read");
    await Bun.write(
      path,
      JSON.stringify({ format: "flowmesh-draft-head", version: 1, weights: { file: "x" } }),
    );
    expect(await problemOf(readHeadManifest(path))).toContain("weights.sha256");
  });
});

test("the head that comes with the program is what its manifest says", async () => {
  const manifest = await readHeadManifest(DEFAULT_HEAD_MANIFEST);
  const path = headWeightsPath(DEFAULT_HEAD_MANIFEST, manifest);
  expect(await hashFile(path)).toBe(manifest.weights.sha256);
  const { vocabulary } = await readHeadWeights(path, manifest);
  expect(new Set(vocabulary).size).toBe(manifest.draftVocabulary);
});
