export type LogLevel = "debug" | "info" | "warn" | "error";

/** Structured, one line a record. `fields` are plain JSON values. */
export interface Log {
  write(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export const silentLog: Log = { write: () => {} };
