import type { Prefix } from "./ends.ts";
import { NEAR_DEVICE, type NetworkPair } from "./network-pair.ts";

/** Where two ends are, and how they reach each other. */
export interface Place {
  readonly near: Prefix;
  /** A nats-server runs here, too. */
  readonly far: Prefix;
  /** Address of the far end, as the near one sees it. */
  readonly farHost: string;
  /** Network device between them, if there is one of their own. */
  readonly device?: string;
}

/** This machine, as it is. */
export const ONE_MACHINE: Place = { near: [], far: [], farHost: "127.0.0.1" };

/** The two ends of a shaped cable. */
export function acrossCable({ near, far, farAddress }: NetworkPair): Place {
  return { near, far, farHost: farAddress, device: NEAR_DEVICE };
}

export interface PlacedServer {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Runs "$@" as long as the standard input lasts, which ends with this process at the latest. A signal would
 * reach only the program that enters the namespace.
 */
const UNTIL_INPUT_ENDS = '"$@" & cat >/dev/null; kill "$!"; wait';

/** Starts a nats-server, whose program this is, at the far end. */
export async function startNats({ far, farHost }: Place, program: string): Promise<PlacedServer> {
  const command = [program, "-a", farHost, "-p", "-1"];
  const server = Bun.spawn([...far, "sh", "-c", UNTIL_INPUT_ENDS, "sh", ...command], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "pipe",
  });
  const stop = async () => {
    await server.stdin.end();
    await server.exited;
  };
  try {
    return { url: `nats://${farHost}:${await listeningPort(server.stderr)}`, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits until the server is ready, then goes on reading, so that its log never blocks it. */
async function listeningPort(stderr: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  const reader = stderr.getReader();
  let log = "";
  while (!log.includes("Server is ready")) {
    const { done, value } = await reader.read();
    // The shell around it may keep the pipe open.
    if (done || /\[FTL\]|not found|rmission denied/.test(log)) {
      throw new Error(`nats-server ended instead of starting:\n${log}`);
    }
    log += decoder.decode(value, { stream: true });
  }
  const port = /client connections on \S+:(\d+)/.exec(log)?.[1];
  if (port === undefined) throw new Error(`nats-server did not say where it listens:\n${log}`);
  void (async () => {
    while (!(await reader.read()).done);
  })();
  return port;
}
