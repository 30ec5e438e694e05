import { join } from "node:path";

/** Layout of the cache folder: what is fetched is put there by a rename, so whatever exists is whole. */
export const modelPath = (cacheRoot: string, file: string): string => join(cacheRoot, "models", file);

export const natsServerPath = (cacheRoot: string, version: string): string =>
  join(cacheRoot, "nats-server", version, "nats-server");

/** Remembers the SHA-256 of one file that may lie anywhere. */
export const fileHashPath = (cacheRoot: string, filePath: string): string =>
  join(cacheRoot, "hashes", `${new Bun.CryptoHasher("sha256").update(filePath).digest("hex")}.json`);

export const pythonEnvironmentPath = (cacheRoot: string, key: string): string =>
  join(cacheRoot, "python", key);
