import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { chmod, mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as v from "valibot";
import type { Log } from "../actors/runtime/log.ts";
import { type ApiKey, hashKey, type KeyRing, keysFileSchema } from "../http/api-keys.ts";
import { UsageError } from "./usage-error.ts";

/** A file of API keys that can't be used; the message says what is wrong with it. */
export class KeysFileError extends Error {
  override readonly name = "KeysFileError";
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where keys are kept when nobody says otherwise: with the user's settings, not in the cache. */
export function defaultKeysPath(env: Environment = process.env): string {
  return join(env.XDG_CONFIG_HOME || join(env.HOME || "/tmp", ".config"), "flowmesh", "keys.json");
}

/** Empty when there is no such file. @throws {KeysFileError} */
export async function readKeys(path: string): Promise<readonly ApiKey[]> {
  const file = Bun.file(path);
  if (!(await file.exists())) return [];
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), keysFileSchema), await file.text());
  if (parsed.success) return parsed.output.keys;
  const [issue] = parsed.issues;
  const where = v.getDotPath(issue) ?? "all of it";
  throw new KeysFileError(
    `${path} is no file of API keys (${where}: ${issue.message}); 'flowmesh keys add' makes one. Nobody is let in until it is mended.`,
  );
}

/** Written aside and renamed; readable by its owner only. */
async function writeKeys(path: string, keys: readonly ApiKey[]): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const aside = `${path}.${process.pid}.partial`;
  await Bun.write(aside, `${JSON.stringify({ version: 1, keys }, null, 2)}\n`, { mode: 0o600 });
  await chmod(aside, 0o600);
  await rename(aside, path);
}

export type KeyLimits = Pick<ApiKey, "requestsPerMinute" | "tokensPerMinute">;

/** Gives the key, which is shown once and kept nowhere. @throws {UsageError} when there is one of that name. */
export async function addKey(path: string, name: string, limits: KeyLimits): Promise<string> {
  const keys = await readKeys(path);
  if (keys.some((key) => key.name === name)) {
    throw new UsageError(`there is a key named '${name}' already; remove it first, or choose another name.`);
  }
  const key = `fm-${randomBytes(32).toString("base64url")}`;
  const added: ApiKey = { name, sha256: hashKey(key), created: new Date().toISOString(), ...limits };
  await writeKeys(path, [...keys, added]);
  return key;
}

/** @throws {UsageError} when there is none of that name. */
export async function removeKey(path: string, name: string): Promise<void> {
  const keys = await readKeys(path);
  const left = keys.filter((key) => key.name !== name);
  if (left.length === keys.length) {
    const known = keys.map((key) => key.name).join(", ") || "none";
    throw new UsageError(`there is no key named '${name}'; there are: ${known}.`);
  }
  await writeKeys(path, left);
}

const CHECK_EVERY_MS = 1000;

/** Nobody has this key: a ring that lets nobody in. */
const NOBODY: ApiKey = { name: "nobody", sha256: "0".repeat(64), created: "" };

/**
 * The keys of a file, read again when it has changed. A gateway that began with keys stays closed when the file is
 * removed, emptied or damaged: only a restart opens it.
 */
export class KeysFile implements KeyRing {
  readonly #path: string;
  readonly #log: Log;
  #keys: readonly ApiKey[];
  #version: string;
  #checkedAtMs = performance.now();

  /** @throws {KeysFileError} */
  static async open(path: string, log: Log): Promise<KeysFile> {
    return new KeysFile(path, log, await readKeys(path));
  }

  private constructor(path: string, log: Log, keys: readonly ApiKey[]) {
    this.#path = path;
    this.#log = log;
    this.#keys = keys;
    this.#version = versionOf(path);
  }

  keys(): readonly ApiKey[] {
    const nowMs = performance.now();
    if (nowMs - this.#checkedAtMs > CHECK_EVERY_MS) {
      this.#checkedAtMs = nowMs;
      void this.#refresh();
    }
    return this.#keys;
  }

  async #refresh(): Promise<void> {
    const version = versionOf(this.#path);
    if (version === this.#version) return;
    this.#version = version;
    try {
      const keys = await readKeys(this.#path);
      this.#keys = keys.length === 0 && this.#keys.length > 0 ? [NOBODY] : keys;
    } catch (error) {
      this.#keys = [NOBODY];
      this.#log.write("error", "the API keys can't be read", { error });
    }
  }
}

function versionOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.mtimeMs} ${stats.size} ${stats.ino}`;
}
