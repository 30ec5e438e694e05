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
  readonly logFormat: LogFormat;
  /** For `flowmesh chat`. */
  readonly apiKey?: string;
}

/** Lines for people, or one JSON object a line. */
type LogFormat = "text" | "json";

type Environment = Readonly<Record<string, string | undefined>>;

const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];
const LOG_FORMATS: readonly LogFormat[] = ["text", "json"];

/** @throws {UsageError} for a variable that says something impossible. */
export function readSettings(environment: Environment = process.env): Settings {
  const cache = defaultCacheRoot(environment);
  return {
    cache,
    runs: join(cache, "run"),
    logLevel: oneOf("FLOWMESH_LOG", environment.FLOWMESH_LOG ?? "warn", LOG_LEVELS),
    logFormat: oneOf("FLOWMESH_LOG_FORMAT", environment.FLOWMESH_LOG_FORMAT ?? "text", LOG_FORMATS),
    ...(environment.FLOWMESH_API_KEY && { apiKey: environment.FLOWMESH_API_KEY }),
  };
}

function oneOf<Value extends string>(variable: string, wanted: string, allowed: readonly Value[]): Value {
  const value = allowed.find((candidate) => candidate === wanted);
  if (value !== undefined) return value;
  throw new UsageError(
    `environment variable ${variable} is '${wanted}'; it must be one of ${allowed.join(", ")}.`,
  );
}
