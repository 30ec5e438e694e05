export type LogLevel = "debug" | "info" | "warn" | "error";

/** Structured, one line a record. `fields` are plain JSON values; an Error among them is written with its stack. */
export interface Log {
  write(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export const silentLog: Log = { write: () => {} };

export interface LogOptions {
  /** Records below it are left out. Default "info". */
  readonly least?: LogLevel;
  /** Default is the wall clock. */
  readonly now?: () => Date;
}

const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** One JSON object a line, for machines; `write` gets the line without its end. */
export function jsonLog(write: (line: string) => void, options: LogOptions = {}): Log {
  return filtered(options, (time, level, message, fields) =>
    write(JSON.stringify({ ...fields, time, level, message }, plainError)),
  );
}

/** `12:34:56.789 warn  crashed, restarting actor=stage-0 delayMs=50`, for people. */
export function textLog(write: (line: string) => void, options: LogOptions = {}): Log {
  return filtered(options, (time, level, message, fields) => {
    const clock = time.slice(11, 23);
    const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${asText(value)}`);
    write(`${clock} ${level.padEnd(5)} ${message}${rest.join("")}`);
  });
}

function filtered(
  { least = "info", now = () => new Date() }: LogOptions,
  write: (time: string, level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>) => void,
): Log {
  return {
    write(level, message, fields = {}) {
      if (SEVERITY[level] >= SEVERITY[least]) write(now().toISOString(), level, message, fields);
    },
  };
}

/** Errors have no enumerable fields of their own, so JSON would write them as {}. */
function plainError(_name: string, value: unknown): unknown {
  return value instanceof Error ? (value.stack ?? String(value)) : value;
}

function asText(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(`${value.name}: ${value.message}`);
  const plain = typeof value === "string" && !/[\s"=]/.test(value);
  return plain ? value : (JSON.stringify(value, plainError) ?? "undefined");
}
