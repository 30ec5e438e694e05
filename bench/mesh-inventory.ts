import { readFileSync } from "node:fs";
import * as v from "valibot";
import type { Transport } from "../transport/transport.ts";
import { descendants } from "./running-mesh.ts";

const infoSchema = v.object({ name: v.string(), metadata: v.record(v.string(), v.string()) });

/** One actor's process, as it says itself and as the kernel sees it. */
export interface ActorProcess {
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Memory in use, MiB; NaN where the kernel doesn't tell. */
  readonly residentMiB: number;
  /** Of that, memory of its own: without mapped files, which processes share. */
  readonly privateMiB: number;
}

const ANSWER_MS = 300;

/** The mesh's actors, and the nats-server among the descendants of the process that started it. */
export async function listProcesses(transport: Transport, meshPid: number): Promise<ActorProcess[]> {
  const servers = (await descendants(meshPid)).filter((pid) => commandOf(pid) === "nats-server");
  const described = servers.map((pid) => ({ name: "nats-server", metadata: {}, ...memoryOf(pid) }));
  return [...(await listActors(transport)), ...described];
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

/** Asks the mesh who is there, by the NATS micro-service protocol. */
export async function listActors(transport: Transport): Promise<ActorProcess[]> {
  const answers = await transport.requestMany("$SRV.INFO", new Uint8Array(0), { timeoutMs: ANSWER_MS });
  const decoder = new TextDecoder();
  return answers
    .map(({ body }) => v.parse(infoSchema, JSON.parse(decoder.decode(body))))
    .filter(({ metadata }) => metadata.pid !== undefined)
    .map(({ name, metadata }) => ({ name, metadata, ...memoryOf(Number(metadata.pid)) }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

function memoryOf(pid: number): { residentMiB: number; privateMiB: number } {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1]);
    return { residentMiB: kib("VmRSS") / 1024, privateMiB: kib("RssAnon") / 1024 };
  } catch {
    // Not Linux, or another host's process.
    return { residentMiB: Number.NaN, privateMiB: Number.NaN };
  }
}
