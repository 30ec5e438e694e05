import type { LineTail } from "./output-lines.ts";

/** How a process ended. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** True when its owner had asked for it. */
  readonly asked: boolean;
  /** Why, in words for a person. */
  readonly reason: string;
}

/** A running process with an owner: what the supervisor needs to know of a child. */
export interface SupervisedProcess {
  readonly name: string;
  readonly pid: number;
  /** What the process said when it became ready. */
  readonly payload: unknown;
  /** Resolves as soon as the process is gone; never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** Asks politely, then insists; resolves when the process is gone. Calling it twice is harmless. */
  stop(): Promise<ProcessExit>;
  /** Ends it at once. */
  kill(): void;
}

/** A process ended, or did not become ready in time, before it could do its work. */
export class ProcessStartError extends Error {
  constructor(name: string, reason: string) {
    super(`${name} did not start: ${reason}`);
    this.name = "ProcessStartError";
  }
}

/** Bun gives a number for signals that have no name. */
export function signalName(signal: string | number | null): string | null {
  return signal === null ? null : String(signal);
}

export function describeEnd(code: number | null, signal: string | null, lastLines: LineTail): string {
  const end = signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`;
  const lines = lastLines.toString();
  return lines === "" ? end : `${end}; its last lines:\n${lines}`;
}
