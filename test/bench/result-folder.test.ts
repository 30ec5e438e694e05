import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openResultFolder } from "../../bench/result-folder.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "results-"));
});

afterAll(() => rm(folder, { recursive: true }));

test("files are whole under their names, nothing is left beside them, and older ones are replaced", async () => {
  const path = join(folder, "deep", "er");
  const results = await openResultFolder(path);
  await Bun.write(join(path, "mine.txt"), "untouched");
  await results.write([{ name: "report.md", text: "old" }]);
  await (await openResultFolder(path)).write([
    { name: "report.md", text: "new" },
    { name: "rates.svg", text: "<svg/>" },
  ]);
  expect((await readdir(path)).sort()).toEqual(["mine.txt", "rates.svg", "report.md"]);
  expect(await Bun.file(join(path, "report.md")).text()).toBe("new");
});

test("a folder that can't be made is told at once", async () => {
  await Bun.write(join(folder, "file"), "");
  const failure = await openResultFolder(join(folder, "file")).catch((error: Error) => error.message);
  expect(String(failure)).toContain("file");
});
