import { join } from "node:path";
import type { LogLevel } from "../actors/runtime/log.ts";
import { cacheRoot } from "./cache-root.ts";

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

/** A variable that says something impossible. */
export class SettingError extends Error {
  constructor(variable: string, value: string, expected: string) {
    super(`environment variable ${variable} is '${value}'; it must be ${expected}.`);
    this.name = "SettingError";
  }
}

const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** Throws SettingError. */
export function readSettings(environment: Environment = process.env): Settings {
  const cache = cacheRoot(environment);
  const wanted = environment.FLOWMESH_LOG ?? "warn";
  const logLevel = LOG_LEVELS.find((level) => level === wanted);
  if (logLevel === undefined) throw new SettingError("FLOWMESH_LOG", wanted, `one of ${LOG_LEVELS.join(", ")}`);
  return { cache, runs: join(cache, "run"), logLevel };
}
