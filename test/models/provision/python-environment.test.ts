import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ProvisionError } from "../../../models/provision/provision-error.ts";
import {
  type PythonEnvironmentOptions,
  providePythonEnvironment,
} from "../../../models/provision/python-environment.ts";
import { searchPathWith } from "./programs.ts";

const TIMEOUT_MS = 120_000;
/** A small package that the training's own lock has, too. */
const LOCKED = await lockedLines("idna");

let folder = "";
let options: PythonEnvironmentOptions;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "python-environment-"));
  const lockFile = join(folder, "some.lock");
  await Bun.write(lockFile, LOCKED);
  const cacheRoot = join(folder, "cache");
  options = { what: "a tool", lockFile, leastPython: [3, 11], bytesNeeded: 1e6, cacheRoot };
});
afterEach(() => rm(folder, { recursive: true }));

async function lockedLines(name: string): Promise<string> {
  const lock = await Bun.file(join(import.meta.dir, "../../../training/requirements.lock")).text();
  const lines = lock.slice(lock.indexOf(`\n${name}==`) + 1).split("\n");
  const end = lines.findIndex((line) => !line.endsWith("\\"));
  return `${lines.slice(0, end + 1).join("\n")}\n`;
}

async function problem(change: Partial<PythonEnvironmentOptions>): Promise<string> {
  const error = await providePythonEnvironment({ ...options, ...change }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ProvisionError);
  const left = await readdir(join(options.cacheRoot, "python")).catch(() => []);
  expect(left.filter((name) => !name.endsWith(".lock"))).toEqual([]);
  return (error as ProvisionError).message;
}

async function importing(python: string, module: string): Promise<number> {
  return Bun.spawn([python, "-I", "-c", `import ${module}`], { stdout: "ignore", stderr: "ignore" }).exited;
}

describe("a Python environment", () => {
  test(
    "has what is locked, is made once by several who want it, and again when it stops working",
    async () => {
      const notes: string[] = [];
      const all = await Promise.all(
        [0, 1].map(() => providePythonEnvironment({ ...options, onProgress: (_, note) => notes.push(note) })),
      );
      expect(all.map(({ made }) => made).sort()).toEqual([false, true]);
      const python = all[0]?.python ?? "";
      expect(all[1]?.python).toBe(python);
      expect(await importing(python, "idna")).toBe(0);
      expect(notes.some((note) => note.startsWith("idna=="))).toBe(true);
      expect(await providePythonEnvironment(options)).toEqual({ python, made: false });
      const environments = (await readdir(dirname(dirname(dirname(python))))).filter(
        (name) => !name.endsWith(".lock"),
      );
      expect(environments.length).toBe(1);

      await rm(python);
      await symlink(join(folder, "gone"), python);
      expect(await providePythonEnvironment(options)).toEqual({ python, made: true });
      expect(await importing(python, "idna")).toBe(0);
    },
    TIMEOUT_MS,
  );

  test(
    "is not made from packages with other hashes",
    async () => {
      await Bun.write(
        options.lockFile,
        LOCKED.replaceAll(/sha256:[0-9a-f]{64}/g, `sha256:${"0".repeat(64)}`),
      );
      expect(await problem({})).toContain("cannot install a tool: its checksum is not the one");
    },
    TIMEOUT_MS,
  );
});

describe("what is missing is said:", () => {
  test("Python", async () => {
    expect(await problem({ searchPath: await searchPathWith({}) })).toContain(
      "a tool needs Python 3.11 or later, and there is no python3 on PATH",
    );
  });

  test("a new enough Python", async () => {
    const old = `echo '{"version": "3.9.2", "minor": [3, 9], "platform": "linux-x86_64"}'`;
    const searchPath = await searchPathWith({ python3: old });
    expect(await problem({ searchPath })).toContain("and python3 is 3.9.2. Install Python 3.11");
  });

  test("venv", async () => {
    const bare = `case "$*" in
*json*) echo '{"version": "3.12.1", "minor": [3, 12], "platform": "linux-x86_64"}' ;;
*) echo "The virtual environment was not created because ensurepip is not available."; exit 1 ;;
esac`;
    const searchPath = await searchPathWith({ python3: bare });
    expect(await problem({ searchPath })).toContain("python3 comes without venv. Install it");
  });

  test("room on the disk", async () => {
    expect(await problem({ bytesNeeded: 1e18 })).toMatch(
      /needs 1000000000\.0 GB in .*GB are free\. Make room/,
    );
  });
});

test("an abort leaves nothing", async () => {
  const abort = new AbortController();
  const making = providePythonEnvironment({
    ...options,
    signal: abort.signal,
    onProgress: () => abort.abort(),
  });
  const error = await making.catch((reason: unknown) => reason);
  expect(error).toBe(abort.signal.reason);
  const left = await readdir(join(options.cacheRoot, "python"));
  expect(left.filter((name) => !name.endsWith(".lock"))).toEqual([]);
});
