import type { Log, LogLevel } from "../../../actors/runtime/log.ts";

export interface LogRecord {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Keeps what is written. */
export class RecordedLog implements Log {
  readonly records: LogRecord[] = [];

  write(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.records.push({ level, message, fields });
  }
}
