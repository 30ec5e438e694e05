import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { claimRunFolder } from "../../cli/run-folder.ts";

let runs: string;
beforeAll(async () => {
  runs = join(await mkdtemp(join(tmpdir(), "flowmesh-runs-")), "run");
});
afterAll(() => rm(join(runs, ".."), { recursive: true }));

test("removes the folders of processes that are gone, and keeps those of running ones", async () => {
  const gone = Bun.spawn(["true"]);
  await gone.exited;
  const running = Bun.spawn(["sleep", "60"]);
  try {
    for (const pid of [gone.pid, running.pid]) await mkdir(join(runs, `home-${pid}`), { recursive: true });
    await mkdir(join(runs, "notes"));
    const own = await claimRunFolder(runs, "home");
    expect(basename(own)).toBe(`home-${process.pid}`);
    const left = ["notes", `home-${running.pid}`, `home-${process.pid}`];
    expect((await readdir(runs)).sort()).toEqual(left.sort());
  } finally {
    running.kill();
  }
});

test("gives an empty folder, even where one with the same name was left", async () => {
  const first = await claimRunFolder(runs, "home");
  await Bun.write(join(first, "left-over"), "x");
  expect(await readdir(await claimRunFolder(runs, "home"))).toEqual([]);
});
