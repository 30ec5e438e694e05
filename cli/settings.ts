import { join } from "node:path";
import type { LogLevel } from "../actors/runtime/log.ts";
import { defaultCacheRoot } from "./cache-root.ts";
import { UsageError } from "./usage-error.ts";

/** What the environment decides. Read here and nowhere else; everything below takes values. */
export interface Settings {
  /** Downloads and compiled graphs; safe to delete while nothing runs. */
  readonly cache: string;
  /** One folder for each running mesh. */
  readonly runs: string;
  /** Records of this level and above are shown. */
  readonly logLevel: LogLevel;
}

type Environment = Readonly<Record<string, string | undefined>>;

const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** @throws {UsageError} for a variable that says something impossible. */
export function readSettings(environment: Environment = process.env): Settings {
  const cache = defaultCacheRoot(environment);
  const wanted = environment.FLOWMESH_LOG ?? "warn";
  const logLevel = LOG_LEVELS.find((level) => level === wanted);
  if (logLevel === undefined) {
    const allowed = LOG_LEVELS.join(", ");
    throw new UsageError(`environment variable FLOWMESH_LOG is '${wanted}'; it must be one of ${allowed}.`);
  }
  return { cache, runs: join(cache, "run"), logLevel };
}
