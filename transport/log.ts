/** Where a transport reports what no caller can be told; a Log of the actor runtime fits. */
export interface TransportLog {
  write(level: "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>): void;
}
