import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import * as v from "valibot";
import { fileHashPath } from "./cache-dir.ts";
import { stage } from "./staging.ts";

const RememberedHash = v.object({ path: v.string(), fingerprint: v.string(), sha256: v.string() });

/**
 * SHA-256 of a file. It is computed once and remembered in the cache folder for as long as the file's
 * size and modification time stay the same.
 */
export async function fileSha256(path: string, cacheRoot: string): Promise<string> {
  const absolute = resolve(path);
  const record = fileHashPath(cacheRoot, absolute);
  const fingerprint = await fingerprintOf(absolute);
  const remembered = await readRecord(record);
  if (remembered?.path === absolute && remembered.fingerprint === fingerprint) return remembered.sha256;
  const sha256 = await hashFile(absolute);
  // A file that changed while it was read has no hash to remember.
  if ((await fingerprintOf(absolute)) === fingerprint) {
    await stage(record, async (staging) => {
      await Bun.write(staging, JSON.stringify({ path: absolute, fingerprint, sha256 }));
      return { path: staging };
    });
  }
  return sha256;
}

async function fingerprintOf(path: string): Promise<string> {
  const { size, mtimeNs, ino } = await stat(path, { bigint: true });
  return `${size}-${mtimeNs}-${ino}`;
}

/** SHA-256 of a file's bytes, in hex, computed now. */
export async function hashFile(path: string): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk);
  return hasher.digest("hex");
}

/** An unreadable record is as good as none: the hash is computed again. */
async function readRecord(path: string): Promise<v.InferOutput<typeof RememberedHash> | undefined> {
  const raw: unknown = await Bun.file(path)
    .json()
    .catch(() => undefined);
  const parsed = v.safeParse(RememberedHash, raw);
  return parsed.success ? parsed.output : undefined;
}
