import { expect, test } from "bun:test";
import { appendFile, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CompileProgress, compileStages } from "../../../models/compile.ts";
import type { GgufFile } from "../../../models/gguf/gguf-file.ts";
import { openTiny, scratchFolder, specsOf } from "./pipeline.ts";

interface Setup extends AsyncDisposable {
  readonly gguf: GgufFile;
  readonly cacheDir: string;
  compile(options?: {
    bounds?: number[];
    taps?: number[];
    sourceHash?: string;
    numerics?: "fast" | "precise";
  }): Promise<{
    dirs: string[];
    reused: boolean[];
  }>;
}

async function setup(): Promise<Setup> {
  const folder = await scratchFolder();
  const gguf = await openTiny(folder.path);
  const cacheDir = join(folder.path, "cache");
  return {
    gguf,
    cacheDir,
    async compile({ bounds = [0, 2, 4], taps = [], sourceHash = "source", numerics = "fast" } = {}) {
      const progress: CompileProgress[] = [];
      const specs = specsOf(bounds, { numerics, taps });
      const stages = await compileStages(gguf, {
        specs,
        cacheDir,
        sourceHash,
        onProgress: (step) => progress.push(step),
      });
      expect(progress.map(({ done, total }) => `${done}/${total}`)).toEqual(
        specs.map((_, k) => `${k + 1}/${specs.length}`),
      );
      return { dirs: stages.map(({ dir }) => dir), reused: progress.map(({ reused }) => reused) };
    },
    async [Symbol.asyncDispose]() {
      await gguf.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

async function contents(dir: string): Promise<Map<string, Buffer>> {
  const names = (await readdir(dir)).toSorted();
  const files = await Promise.all(names.map((name) => readFile(join(dir, name))));
  return new Map(names.map((name, i) => [name, files[i]!]));
}

test("stages are built once, and only the last has the LM head", async () => {
  await using model = await setup();
  const first = await model.compile();
  expect(first.reused).toEqual([false, false]);
  expect([...(await contents(first.dirs[0]!)).keys()]).toEqual([
    "graph.onnx",
    "manifest.json",
    "weights.bin",
  ]);
  expect([...(await contents(first.dirs[1]!)).keys()]).toEqual([
    "graph.onnx",
    "head-weights.bin",
    "head.onnx",
    "manifest.json",
    "weights.bin",
  ]);
  const again = await model.compile();
  expect(again).toEqual({ dirs: first.dirs, reused: [true, true] });
  expect((await readdir(model.cacheDir)).length).toBe(2);
});

test("whatever changes the files makes another stage", async () => {
  await using model = await setup();
  const dirs = new Set<string>();
  const variants = [
    {},
    { taps: [1, 3] },
    { numerics: "precise" as const },
    { sourceHash: "another" },
    { bounds: [0, 3, 4] },
    { bounds: [0, 4] },
  ];
  for (const variant of variants) {
    const { dirs: made, reused } = await model.compile(variant);
    expect(reused).not.toContain(true);
    for (const dir of made) dirs.add(dir);
  }
  expect(dirs.size).toBe(2 + 2 + 2 + 2 + 2 + 1);
  const overlapping = await model.compile({ bounds: [0, 2, 3, 4] });
  // The first stage is the one of [0, 2, 4], the last one that of [0, 3, 4].
  expect(overlapping.reused).toEqual([true, false, true]);
});

const flipByte = async (path: string) => {
  const bytes = await readFile(path);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = bytes[at]! ^ 1;
  await writeFile(path, bytes);
};

test.each([
  ["a weight file cut short", "weights.bin", (path: string) => truncate(path, 100)],
  ["a weight file with a flipped bit", "weights.bin", flipByte],
  ["a graph with something behind it", "graph.onnx", (path: string) => appendFile(path, "x")],
  ["a missing graph", "graph.onnx", (path: string) => rm(path)],
  ["a missing manifest", "manifest.json", (path: string) => rm(path)],
  ["a manifest that is no JSON", "manifest.json", (path: string) => writeFile(path, "{")],
  ["a manifest of another shape", "manifest.json", (path: string) => writeFile(path, "{}")],
] as const)("a stage with %s is built again", async (_, name, damage) => {
  await using model = await setup();
  const { dirs } = await model.compile();
  const intact = await contents(dirs[0]!);
  await damage(join(dirs[0]!, name));
  expect((await model.compile()).reused).toEqual([false, true]);
  expect(await contents(dirs[0]!)).toEqual(intact);
  expect((await readdir(model.cacheDir)).length).toBe(2);
});

test("two compilations of the same stages at once both succeed", async () => {
  await using model = await setup();
  const [one, two] = await Promise.all([model.compile(), model.compile()]);
  expect(one.dirs).toEqual(two.dirs);
  expect((await model.compile()).reused).toEqual([true, true]);
  expect((await readdir(model.cacheDir)).length).toBe(2);
});
