import type { Log, LogLevel } from "../actors/runtime/log.ts";

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** One line a record: time, level, who, message, and what else is known as `name=value`. */
export class TerminalLog implements Log {
  readonly #least: LogLevel;
  readonly #writeLine: (line: string) => void;

  constructor(least: LogLevel, writeLine: (line: string) => void) {
    this.#least = least;
    this.#writeLine = writeLine;
  }

  write(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (RANK[level] < RANK[this.#least]) return;
    const { actor, ...rest } = fields;
    const time = new Date().toISOString().slice(11, 23);
    const extra = Object.entries(rest).map(([name, value]) => ` ${name}=${format(value)}`);
    const who = typeof actor === "string" ? `${actor}: ` : "";
    this.#writeLine(`${time} ${level.padEnd(5)} ${who}${message}${extra.join("")}`);
  }
}

function format(value: unknown): string {
  return typeof value === "string" && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
