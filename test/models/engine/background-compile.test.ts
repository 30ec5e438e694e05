import { expect, test } from "bun:test";
import { join } from "node:path";
import { compileInBackground } from "../../../models/background-compile.ts";
import { readManifest } from "../../../models/stage-manifest.ts";
import { defaultModelPath } from "../../model.ts";
import { compile, openTiny, scratchFolder, specsOf } from "./pipeline.ts";

const TICK_MS = 10;

test("a stage compiled in the background is the one that is compiled here", async () => {
  await using folder = await scratchFolder();
  const gguf = await openTiny(folder.path);
  const settings = { bounds: [0, 2, 4], numerics: "fast", cacheDir: join(folder.path, "here") } as const;
  const [, here] = await compile(gguf, settings);
  const [, spec] = specsOf(settings.bounds, settings);
  const there = await compileInBackground({
    kind: "stage",
    modelPath: gguf.path,
    options: { spec: spec!, cacheDir: join(folder.path, "there"), sourceHash: gguf.path },
  });
  await gguf.close();
  expect((await readManifest(there)).files).toEqual(here!.manifest.files);
});

test("what is wrong with the model is told as compiling tells it", async () => {
  await using folder = await scratchFolder();
  const modelPath = join(folder.path, "no-model.gguf");
  await Bun.write(modelPath, "this is no model");
  const [spec] = specsOf([0, 4], { numerics: "fast" });
  const failure = await compileInBackground({
    kind: "stage",
    modelPath,
    options: { spec: spec!, cacheDir: folder.path, sourceHash: "none" },
  }).then(
    () => undefined,
    (error: Error) => error,
  );
  expect(failure?.name).toBe("ModelFileError");
  expect(failure?.message).toContain(modelPath);
});

test("this thread goes on while a stage of the default model is compiled", async () => {
  await using folder = await scratchFolder();
  const [, spec] = specsOf([0, 4, 12, 30], { numerics: "fast" });
  let [ticks, longestMs, lastMs] = [0, 0, performance.now()];
  const begunMs = lastMs;
  const tick = () => {
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lastMs);
    lastMs = nowMs;
    ticks++;
  };
  const timer = setInterval(tick, TICK_MS);
  await compileInBackground({
    kind: "stage",
    modelPath: await defaultModelPath(),
    options: { spec: spec!, cacheDir: folder.path, sourceHash: "default" },
  });
  clearInterval(timer);
  tick();
  // Compiling alone holds a thread for almost half of that time at once.
  expect(longestMs).toBeLessThan((lastMs - begunMs) / 4);
  expect(ticks).toBeGreaterThan(4);
});
