import { Database } from "bun:sqlite";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";

const POLL_MS = 200;

/**
 * Runs `work` while no other process does under the same lock file. An SQLite transaction is the lock, because
 * the operating system frees it when its holder dies, however it dies. Asked for again and again rather than
 * waited for, so that this thread stays free. Throws the signal's reason on an abort.
 */
export async function withFolderLock<T>(
  path: string,
  work: () => Promise<T>,
  { signal, onWait }: { readonly signal?: AbortSignal; readonly onWait?: () => void } = {},
): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  const lock = new Database(path);
  try {
    lock.run("PRAGMA busy_timeout = 0");
    for (let attempt = 1; !isTaken(lock); attempt++) {
      if (attempt === 1) onWait?.();
      signal?.throwIfAborted();
      await Bun.sleep(POLL_MS);
    }
    return await work();
  } finally {
    lock.close();
  }
}

/** True once the transaction has begun. */
function isTaken(lock: Database): boolean {
  try {
    lock.run("BEGIN EXCLUSIVE");
    return true;
  } catch (error) {
    if ((error as { code?: string }).code?.startsWith("SQLITE_BUSY") === true) return false;
    throw error;
  }
}
