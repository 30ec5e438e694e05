import { mkdir, rename, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { pythonEnvironmentPath } from "./cache-dir.ts";
import { withFolderLock } from "./folder-lock.ts";
import { explainPip, lastLine, runPython } from "./pip.ts";
import { ProvisionError } from "./provision-error.ts";

export interface PythonEnvironmentOptions {
  /** For progress and messages. */
  readonly what: string;
  /** Requirements file with exact versions and hashes of everything, dependencies included. */
  readonly lockFile: string;
  /** Oldest Python that the locked packages take, as [3, minor]. */
  readonly leastPython: readonly [number, number];
  /** Room on the disk that an installation needs at most, while it runs. */
  readonly bytesNeeded: number;
  readonly cacheRoot: string;
  /** `note`: what is being done; `fraction`: how much of it is. */
  readonly onProgress?: (fraction: number, note: string) => void;
  readonly signal?: AbortSignal;
  /** Folders in which Python is looked for, as in PATH; the process's own PATH if absent. */
  readonly searchPath?: string;
}

export interface PythonEnvironment {
  /** The environment's interpreter. */
  readonly python: string;
  /** False when it was there before. */
  readonly made: boolean;
}

/**
 * A Python environment with exactly the locked packages, in the cache folder: made aside and renamed, once for
 * each lock file and Python version, by one process at a time.
 * @throws {ProvisionError} that says what is missing and how to get it.
 */
export async function providePythonEnvironment(
  options: PythonEnvironmentOptions,
): Promise<PythonEnvironment> {
  const { lockFile, cacheRoot, signal, onProgress } = options;
  const base = await findPython(options);
  const lock = await Bun.file(lockFile).text();
  const identity = JSON.stringify([lock, base.version, base.platform]);
  const key = new Bun.CryptoHasher("sha256").update(identity).digest("hex").slice(0, 16);
  const folder = pythonEnvironmentPath(cacheRoot, key);
  const python = join(folder, "bin", "python");
  if (await runs(python, base)) return { python, made: false };
  return withFolderLock(
    `${folder}.lock`,
    async () => {
      if (await runs(python, base)) return { python, made: false };
      await refuseFullDisk(options);
      await rm(folder, { recursive: true, force: true });
      // Only who holds the lock writes there, so whatever lies there was left by a killed process.
      const aside = `${folder}.partial`;
      await rm(aside, { recursive: true, force: true });
      try {
        await makeInto(aside, base, { ...options, lock });
        await rename(aside, folder);
      } finally {
        await rm(aside, { recursive: true, force: true });
      }
      return { python, made: true };
    },
    {
      ...(signal && { signal }),
      onWait: () => onProgress?.(0, "another process is installing it"),
    },
  );
}

const PythonFacts = v.object({
  version: v.string(),
  minor: v.pipe(v.array(v.number()), v.length(2)),
  /** Operating system and processor. */
  platform: v.string(),
});
interface BasePython extends v.InferOutput<typeof PythonFacts> {
  readonly path: string;
}

const FACTS =
  "import json,platform,sys;" +
  "print(json.dumps({'version':platform.python_version(),'minor':sys.version_info[:2]," +
  "'platform':sys.platform+'-'+platform.machine()}))";
/** Beside plain python3: machines often have a newer one under its own name. */
const NAMES = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"];

async function findPython(options: PythonEnvironmentOptions): Promise<BasePython> {
  const { searchPath, leastPython, what } = options;
  const least = leastPython.join(".");
  const remedy = `Install Python ${least} or later with venv and pip (for example: apt-get install python3-venv)`;
  const found: string[] = [];
  for (const name of NAMES) {
    const path = Bun.which(name, searchPath === undefined ? {} : { PATH: searchPath });
    const facts = path === null ? undefined : await factsOf(path);
    if (path === null || facts === undefined) continue;
    const [major = 0, minor = 0] = facts.minor;
    if (major === leastPython[0] && minor >= leastPython[1]) return { path, ...facts };
    found.push(`${name} is ${facts.version}`);
  }
  const problem = found.length === 0 ? "there is no python3 on PATH" : found.join(", ");
  throw new ProvisionError(`${what} needs Python ${least} or later, and ${problem}`, remedy);
}

async function factsOf(python: string): Promise<v.InferOutput<typeof PythonFacts> | undefined> {
  try {
    const { output } = await runPython([python, "-I", "-c", FACTS], {});
    return v.parse(PythonFacts, JSON.parse(output));
  } catch {
    // Not a program, not Python, or a broken one: as good as none.
    return undefined;
  }
}

/** An environment stops working when the Python that it was made from is gone or became another. */
async function runs(python: string, base: BasePython): Promise<boolean> {
  return (await Bun.file(python).exists()) && (await factsOf(python))?.version === base.version;
}

async function refuseFullDisk({ what, bytesNeeded, cacheRoot }: PythonEnvironmentOptions): Promise<void> {
  await mkdir(cacheRoot, { recursive: true });
  const { bavail, bsize } = await statfs(cacheRoot);
  const free = bavail * bsize;
  if (free >= bytesNeeded) return;
  const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1);
  throw new ProvisionError(
    `${what} needs ${gigabytes(bytesNeeded)} GB in ${cacheRoot}, and ${gigabytes(free)} GB are free`,
    "Make room, or set FLOWMESH_HOME to a folder on another disk",
  );
}

interface MakeOptions extends PythonEnvironmentOptions {
  readonly lock: string;
}

async function makeInto(folder: string, base: BasePython, options: MakeOptions): Promise<void> {
  const { what, lockFile, lock, onProgress, signal } = options;
  onProgress?.(0, "environment");
  const made = await runPython([base.path, "-I", "-m", "venv", folder], { ...(signal && { signal }) });
  if (made.exitCode !== 0) throw explainVenv(what, made.output);
  const packages = new Set([...lock.matchAll(/^([\w.-]+)==/gm)].map(([, name]) => name)).size;
  let collected = 0;
  const onOutput = (text: string) => {
    for (const [, name = ""] of text.matchAll(/^Collecting (\S+)/gm)) {
      collected++;
      onProgress?.(Math.min(collected / (packages + 1), 1), name);
    }
    if (text.includes("Installing collected packages")) onProgress?.(packages / (packages + 1), "unpacking");
  };
  // What is downloaded lies on the cache's disk, too, and goes with the folder if this process is killed.
  const scratch = join(folder, "tmp");
  await mkdir(scratch);
  const pip = [
    ...["/usr/bin/env", `TMPDIR=${scratch}`, join(folder, "bin", "python"), "-I", "-m", "pip", "install"],
    ...["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--progress-bar", "off"],
    ...["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", lockFile],
  ];
  const installed = await runPython(pip, { onOutput, ...(signal && { signal }) });
  if (installed.exitCode !== 0) throw explainPip(`cannot install ${what}`, installed.output);
  await rm(scratch, { recursive: true, force: true });
}

function explainVenv(what: string, output: string): ProvisionError {
  const subject = `cannot make a Python environment for ${what}`;
  if (/ensurepip|No module named venv/.test(output)) {
    return new ProvisionError(
      `${subject}: python3 comes without venv`,
      "Install it (for example: apt-get install python3-venv)",
    );
  }
  if (/No space left/.test(output)) {
    return new ProvisionError(
      `${subject}: the disk is full`,
      "Make room, or set FLOWMESH_HOME to another folder",
    );
  }
  return new ProvisionError(`${subject}: python3 says "${lastLine(output)}"`, "Try again");
}
