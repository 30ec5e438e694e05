import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ProvisionError } from "./provision-error.ts";

const STAGING_MARK = ".part-";
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

/**
 * Lets `make` build a file at a staging path beside `target`, then renames it to `target`. Several
 * processes may do this at once: each has its own staging path, and the last whole file stays. On
 * failure nothing is left, and `target` is as it was. The staging path may become a folder in which
 * `make` works; it then returns where in it the file is.
 */
export async function stage<T extends { readonly path: string }>(
  target: string,
  make: (stagingPath: string) => Promise<T>,
): Promise<T> {
  const folder = dirname(target);
  const staging = join(folder, `${basename(target)}${STAGING_MARK}${randomUUID()}`);
  try {
    await mkdir(folder, { recursive: true });
    await removeAbandoned(folder);
    try {
      const made = await make(staging);
      await rename(made.path, target);
      return made;
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  } catch (error) {
    throw explainDiskError(error, folder);
  }
}

/** A killed process cannot clean up after itself, so the next one does. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    if (!entry.includes(STAGING_MARK)) continue;
    const path = join(folder, entry);
    const modified = await stat(path).then(
      (found) => found.mtimeMs,
      () => Date.now(), // Another process has just renamed or removed its own.
    );
    if (Date.now() - modified > ABANDONED_AFTER_MS) await rm(path, { recursive: true, force: true });
  }
}

const DISK_PROBLEMS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "it may not be written to",
  EPERM: "it may not be written to",
  EROFS: "it is on a read-only disk",
  ENOTDIR: "a part of its path is not a folder",
  EEXIST: "a part of its path is not a folder",
};

function explainDiskError(error: unknown, folder: string): unknown {
  const problem = DISK_PROBLEMS[(error as NodeJS.ErrnoException | undefined)?.code ?? ""];
  if (!problem) return error;
  const remedy = "Make room or permission there, or set FLOWMESH_HOME to another folder";
  return new ProvisionError(`cannot write into ${folder}: ${problem}`, remedy, { cause: error });
}
