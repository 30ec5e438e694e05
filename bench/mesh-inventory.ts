import { readFileSync } from "node:fs";
import { listServices } from "../actors/runtime/service-list.ts";
import type { Transport } from "../transport/transport.ts";
import { descendants } from "./running-mesh.ts";

/** One actor's process, as it says itself and as the kernel sees it. */
export interface ActorProcess {
  readonly name: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Memory in use, MiB; NaN where the kernel doesn't tell. */
  readonly residentMiB: number;
  /** Of that, memory of its own: without mapped files, which processes share. */
  readonly privateMiB: number;
}

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

/** The actors of the mesh, as far as they are in processes. */
export async function listActors(transport: Transport): Promise<ActorProcess[]> {
  return (await listServices(transport))
    .filter(({ metadata }) => metadata.pid !== undefined)
    .map(({ name, metadata }) => ({ name, metadata, ...memoryOf(Number(metadata.pid)) }));
}

/** Memory of a process; Linux only, NaN elsewhere and where there is no such process. */
export function memoryOf(pid: number): Pick<ActorProcess, "residentMiB" | "privateMiB"> {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1]);
    return { residentMiB: kib("VmRSS") / 1024, privateMiB: kib("RssAnon") / 1024 };
  } catch {
    // Not Linux, or another host's process.
    return { residentMiB: Number.NaN, privateMiB: Number.NaN };
  }
}
