import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

/**
 * Makes this process's own folder for what lives only as long as a mesh runs, and removes those that
 * killed processes left. The owner's process id is in the name, so no file has to be trusted.
 */
export async function claimRunFolder(runs: string, mesh: string): Promise<string> {
  await mkdir(runs, { recursive: true });
  for (const name of await readdir(runs)) {
    const owner = Number(/-(\d+)$/.exec(name)?.[1]);
    if (Number.isInteger(owner) && !isRunning(owner))
      await rm(join(runs, name), { recursive: true, force: true });
  }
  const folder = join(runs, `${mesh}-${process.pid}`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o700 });
  return folder;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, and belongs to somebody else.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
