import { availableParallelism } from "node:os";
import { HostAgent } from "../actors/host/agent.ts";
import type { SupervisorEvent } from "../actors/host/supervisor.ts";
import { type ActorRecord, type MeshRecord, PROTOCOL } from "../actors/mesh/records.ts";
import type { FetchProgress } from "../actors/mesh/weights.ts";
import { parseJson, stageCostsSchema } from "../actors/messages.ts";
import { systemClock } from "../actors/runtime/clock.ts";
import type { Log } from "../actors/runtime/log.ts";
import type { CostTable } from "../models/stage-engine.ts";
import { version } from "../package.json" with { type: "json" };
import type { KeyValue } from "../transport/key-value.ts";
import type { LinkModel } from "../transport/link-model.ts";
import { eventSubject } from "../transport/subjects.ts";
import type { Transport } from "../transport/transport.ts";
import type { DeviceModel } from "./device-model.ts";
import { type ModelSource, ProcessLauncher } from "./process-launcher.ts";
import type { NatsAccess } from "./role.ts";

export interface MeshHostOptions {
  readonly name: string;
  readonly nats: NatsAccess;
  readonly transport: Transport;
  readonly store: KeyValue;
  readonly mesh: MeshRecord;
  readonly source: ModelSource;
  readonly cache: string;
  readonly headManifest?: string;
  readonly childCommand: readonly string[];
  readonly slots: number;
  /** Threads of each stage. */
  readonly threads: number;
  readonly control: boolean;
  readonly memoryBytes: number;
  /** Of that, for keys and values; the rest is for weights. Absent: a quarter. */
  readonly kvMemoryBytes?: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Of one layer, measured before anything runs. */
  readonly layerMs?: CostTable;
  readonly device?: DeviceModel;
  readonly link?: LinkModel;
  readonly reportWork: boolean;
  readonly log: Log;
  readonly onEvent: (event: SupervisorEvent) => void;
  readonly onProgress?: (what: string, progress: FetchProgress) => void;
  readonly onFailure?: (name: string, reason: string) => void;
  readonly otherActors?: () => readonly ActorRecord[];
}

/** Of a host's memory, for keys and values, where nothing is said. */
const KV_MEMORY_SHARE = 0.25;
const MEASURE_RTT_EVERY_MS = 5000;
const RTT_GAIN = 0.3;

/** True when these, the actors of one host, are a whole pipeline of so many stages, and all of them serve. */
export function servesAlone(actors: readonly ActorRecord[], stageCount: number): boolean {
  const stages = actors.filter(({ role }) => role === "stage");
  return stages.length === stageCount && actors.every(({ state }) => state === "active");
}

/** This machine as a host of the mesh, with its actors in child processes. It has not joined yet. */
export function createMeshHost(options: MeshHostOptions): { agent: HostAgent; stop(): Promise<void> } {
  const { transport, store, mesh, memoryBytes, slots, threads, labels, control, device, log } = options;
  const { kvMemoryBytes = Math.floor(memoryBytes * KV_MEMORY_SHARE) } = options;
  let rttMs = 0;
  let layerMs = options.layerMs;
  const launcher = new ProcessLauncher({
    ...options,
    layerCosts: () => layerMs,
    host: options.name,
    kvBudgetBytes: Math.floor(kvMemoryBytes / Math.max(1, slots)),
  });
  const facts = () => ({
    pid: process.pid,
    version,
    protocol: PROTOCOL,
    slots,
    control,
    // A paced stage leaves its core idle most of the time, like a device of its own would.
    sharesCores: device === undefined && slots * threads > availableParallelism(),
    memoryBytes: Math.floor(memoryBytes - kvMemoryBytes),
    labels: { ...labels },
    rttMs,
    ...(layerMs !== undefined && { layerMs: [...layerMs] }),
  });
  const link = { mesh: mesh.mesh, transport, store, clock: systemClock, log };
  const agent = new HostAgent(link, {
    name: options.name,
    mesh,
    launcher,
    facts,
    ...(options.otherActors && { otherActors: options.otherActors }),
    ...(options.onFailure && { onFailure: options.onFailure }),
  });
  /** What a stage tells of itself is truer than what was measured before it ran. */
  const learn = (epoch: number, stage: number, costs: CostTable) => {
    const own = agent.actors.find((actor) => actor.epoch === epoch && actor.name === `stage-${stage}`);
    if (own?.layers === undefined) return;
    const [first, end] = own.layers;
    const layers = end - first + (end === mesh.model.layers ? mesh.model.headLayers : 0);
    layerMs = costs.map(({ nodes, ms }) => ({ nodes, ms: ms / layers }));
  };
  const heard = transport.subscribe(eventSubject(mesh.mesh, "costs"), (message) => {
    const { epoch, stage, costs } = parseJson(stageCostsSchema, message);
    learn(epoch, stage, costs);
  });
  const measureRtt = async () => {
    const begun = performance.now();
    await transport.flush().catch(() => {});
    const took = performance.now() - begun;
    rttMs = rttMs === 0 ? took : rttMs + RTT_GAIN * (took - rttMs);
  };
  void measureRtt();
  const timer = setInterval(() => void measureRtt(), MEASURE_RTT_EVERY_MS);
  return {
    agent,
    async stop() {
      clearInterval(timer);
      heard.unsubscribe();
      await agent.stop();
    },
  };
}
