/** A port that somebody else listens on, or that this user may not use. */
export class PortInUseError extends Error {
  constructor(address: string, wantedBy: string, remedy: string, why = "is in use by another process") {
    super(`${address} ${why}, and ${wantedBy} needs it. ${remedy}`);
    this.name = "PortInUseError";
  }
}

export interface PortNeed {
  readonly host: string;
  readonly port: number;
  /** Who listens there, e.g. "the HTTP API". */
  readonly wantedBy: string;
  /** What the user can do, e.g. "Choose another one with --port." */
  readonly remedy: string;
}

/** Rejects with PortInUseError unless the port can be listened on now. */
export function requireFreePort(need: PortNeed): void {
  const address = `${need.host}:${need.port}`;
  try {
    Bun.listen({ hostname: need.host, port: need.port, socket: { data() {} } }).stop(true);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "EADDRINUSE") throw new PortInUseError(address, need.wantedBy, need.remedy);
    const why = `cannot be listened on (${code || error})`;
    throw new PortInUseError(address, need.wantedBy, need.remedy, why);
  }
}

/** True when nobody listens there. */
export function isPortFree(host: string, port: number): boolean {
  try {
    Bun.listen({ hostname: host, port, socket: { data() {} } }).stop(true);
    return true;
  } catch {
    return false;
  }
}
