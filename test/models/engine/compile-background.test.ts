import { describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { compileInBackground } from "../../../models/compile-background.ts";
import { ModelFileError } from "../../../models/errors.ts";
import { writeTinyGguf } from "../../tiny-gguf.ts";
import { compile, openTiny, scratchFolder } from "./pipeline.ts";

const never = new AbortController().signal;

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function tinyStage(folder: string) {
  const modelPath = join(folder, "model.gguf");
  await writeTinyGguf(modelPath);
  const layers = { firstLayer: 0, endLayer: 4, layerCount: 4, taps: [], numerics: "fast" } as const;
  const spec = { index: 0, stageCount: 1, ...layers };
  return { kind: "stage", modelPath, spec, cacheDir: folder, sourceHash: "test" } as const;
}

describe("a stage compiled in a thread of its own", () => {
  test("is the same as one compiled here", async () => {
    await using folder = await scratchFolder();
    const gguf = await openTiny(folder.path);
    const [here] = await compile(gguf, {
      bounds: [0, 4],
      numerics: "fast",
      taps: [],
      cacheDir: join(folder.path, "here"),
    });
    await gguf.close();
    const call = await tinyStage(folder.path);
    const dir = await compileInBackground(call, never);
    const names = (await readdir(dir)).toSorted();
    expect(names).toEqual((await readdir(here!.dir)).toSorted());
    for (const name of names.filter((file) => !file.endsWith(".json"))) {
      const [one, other] = [join(dir, name), join(here!.dir, name)].map((path) => Bun.file(path).bytes());
      expect(await one).toEqual((await other)!);
    }
  });

  test("says what is wrong with the file by the same error", async () => {
    await using folder = await scratchFolder();
    const call = await tinyStage(folder.path);
    await Bun.write(call.modelPath, "no model");
    const error = await failureOf(compileInBackground(call, never));
    expect(error).toBeInstanceOf(ModelFileError);
    expect((error as ModelFileError).path).toBe(call.modelPath);
    expect((error as ModelFileError).remedy).not.toBe("");
  });

  test("is not begun, or given up, when it is not wanted any more", async () => {
    await using folder = await scratchFolder();
    const call = await tinyStage(folder.path);
    const reason = new Error("not wanted");
    expect(await failureOf(compileInBackground(call, AbortSignal.abort(reason)))).toBe(reason);
    const aborting = new AbortController();
    const compiling = failureOf(compileInBackground(call, aborting.signal));
    aborting.abort(reason);
    expect(await compiling).toBe(reason);
    const dir = await compileInBackground(call, never);
    expect(await readdir(dir)).not.toEqual([]);
  });
});
