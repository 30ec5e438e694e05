import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { LogLevel } from "../runtime/log.ts";

/** Left by an earlier server of this folder, one would be taken for the new one's. */
export async function removePortsFiles(folder: string): Promise<void> {
  const names = await readdir(folder);
  await Promise.all(names.filter((name) => name.endsWith(".ports")).map((name) => rm(join(folder, name))));
}

/** The client port out of the ports file; undefined while there is none, or half of one. */
export async function readPort(folder: string): Promise<number | undefined> {
  const name = (await readdir(folder)).find((candidate) => candidate.endsWith(".ports"));
  if (name === undefined) return undefined;
  try {
    const ports: { nats?: string[] } = JSON.parse(await Bun.file(join(folder, name)).text());
    return ports.nats?.[0] === undefined ? undefined : Number(new URL(ports.nats[0]).port);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** True when a server of this name says INFO there: a NATS server speaks first. */
export async function greets(host: string, port: number, serverName: string): Promise<boolean> {
  const greeting = Promise.withResolvers<string>();
  try {
    const socket = await Bun.connect({
      hostname: host,
      port,
      socket: {
        data: (_, chunk) => greeting.resolve(chunk.toString()),
        close: () => greeting.resolve(""),
        error: () => greeting.resolve(""),
      },
    });
    const text = await greeting.promise;
    socket.end();
    return text.startsWith("INFO ") && text.includes(`"server_name":${JSON.stringify(serverName)}`);
  } catch {
    return false;
  }
}

/** A line such as `[123] 2026/01/31 12:00:00.000000 [ERR] Cannot assign requested address`. */
export function parseNatsLogLine(line: string): { level: LogLevel; message: string } {
  const [, mark, message] = /^\[\d+\] \S+ \S+ \[(\w+)\] ?(.*)$/.exec(line) ?? [];
  const levels: Record<string, LogLevel> = {
    DBG: "debug",
    TRC: "debug",
    INF: "debug",
    WRN: "warn",
    ERR: "error",
    FTL: "error",
  };
  return { level: levels[mark ?? ""] ?? "warn", message: message ?? line };
}
