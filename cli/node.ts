import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { HostNameError } from "../actors/host/agent.ts";
import { leastBytes } from "../actors/mesh/plan-mesh.ts";
import type { FetchProgress } from "../actors/mesh/weights.ts";
import { jsonLog, textLog } from "../actors/runtime/log.ts";
import { probeLayer } from "../models/layer-probe.ts";
import type { CostTable } from "../models/stage-engine.ts";
import { HEADER } from "../models/weight-parts.ts";
import { type DeviceModel, readDeviceModel } from "./device-model.ts";
import { machineName } from "./host-name.ts";
import { createMeshHost } from "./mesh-host.ts";
import { findMesh, JoinError, type MeshDoor, meshWeights } from "./mesh-membership.ts";
import type { NodeOptions } from "./node-options.ts";
import { Progress, type ProgressStream } from "./progress.ts";
import type { NatsAccess } from "./role.ts";
import type { Settings } from "./settings.ts";
import { listenForStop } from "./stop-signals.ts";
import { logEvent } from "./supervisor-log.ts";

export interface NodeEnvironment {
  readonly settings: Settings;
  readonly output: ProgressStream;
  /** Program and arguments of a child process, which must call `runChild`. */
  readonly childCommand: readonly string[];
}

const MIB = 2 ** 20;
/** Names tried when the machine's own is taken. */
const NAMES_MAX = 9;

/** Joins a mesh as one of its hosts and stays until a stop signal or `flowmesh drain`. Gives the exit code. */
export async function node(options: NodeOptions, environment: NodeEnvironment): Promise<number> {
  const { settings, output } = environment;
  const progress = new Progress(output);
  const makeLog = settings.logFormat === "json" ? jsonLog : textLog;
  const log = makeLog((line) => progress.line(line), { least: settings.logLevel });
  const nats: NatsAccess = {
    url: options.nats,
    ...(options.token !== undefined && { token: options.token }),
    ...(options.creds !== undefined && { credentials: options.creds }),
  };
  progress.begin("mesh");
  const door = await findMesh(nats, options.mesh, options.name ?? machineName());
  try {
    const { model } = door.mesh;
    progress.done(`${options.mesh} at ${options.nats}, ${model.id}`);
    const memoryBytes = options.memory ?? Math.floor(totalmem() / 2);
    if (memoryBytes < leastBytes(model)) throw tooSmall(memoryBytes, leastBytes(model), model.id);
    const weights = await meshWeights(door, settings.cache);
    const device = options.device === undefined ? undefined : await readDeviceModel(options.device);
    const threads = options.threads ?? availableParallelism();
    progress.begin("speed");
    await weights.ensure([HEADER]);
    const layerMs =
      device === undefined ? await probe(weights.path, door, settings, threads) : ofLayer(device);
    progress.done(
      `a layer takes ${layerMs.map(({ nodes, ms }) => `${ms.toFixed(2)} ms for ${nodes}`).join(", ")}`,
    );
    const base = {
      nats,
      ...door,
      source: weights,
      cache: settings.cache,
      threads,
      memoryBytes,
      layerMs,
      log,
    };
    return await stay(options, environment, {
      ...base,
      childCommand: environment.childCommand,
      slots: 1,
      control: false,
      labels: options.labels,
      ...(device && { device }),
      ...(options.link && { link: options.link }),
      reportWork: options.reportWork,
      onEvent: (event) => logEvent(log, event),
      onProgress: showFetch(progress),
    });
  } finally {
    await door.transport.close();
  }
}

type HostOptions = Omit<Parameters<typeof createMeshHost>[0], "name">;

async function stay(
  { name: wanted, mesh }: NodeOptions,
  { output }: NodeEnvironment,
  options: HostOptions,
): Promise<number> {
  const progress = new Progress(output);
  let killHost = () => {};
  const stop = listenForStop((exitCode) => {
    killHost();
    process.exit(exitCode);
  });
  const { host, name } = await joinNamed(wanted, options);
  killHost = () => host.agent.kill();
  progress.line(`\n${name} is part of mesh ${mesh}. Press Ctrl-C to leave.`);
  const asked = new Promise<"asked">((resolve) => {
    stop.signal.addEventListener("abort", () => resolve("asked"));
    if (stop.signal.aborted) resolve("asked");
  });
  const why = await Promise.race([asked, host.agent.left.then(() => "left" as const)]);
  if (why === "asked") {
    progress.line("leaving…");
    await host.agent.drain();
  }
  await host.stop();
  stop.release();
  progress.line(`${name} has left the mesh.`);
  return 0;
}

/** Under the name that was asked for, or the first of the machine's that is free. */
async function joinNamed(wanted: string | undefined, options: HostOptions) {
  for (let number = 1; ; number++) {
    const name = wanted ?? (number === 1 ? machineName() : `${machineName()}-${number}`);
    const host = createMeshHost({ ...options, name });
    try {
      await host.agent.join();
      return { host, name };
    } catch (error) {
      await host.stop();
      if (!(error instanceof HostNameError) || wanted !== undefined || number === NAMES_MAX) throw error;
    }
  }
}

function probe(path: string, { mesh }: MeshDoor, { cache }: Settings, threads: number): Promise<CostTable> {
  const { sha256, numerics } = mesh.model;
  return probeLayer(path, { cacheDir: join(cache, "compiled"), sourceHash: sha256, numerics, threads });
}

/** Of a device whose table is for so many layers. */
const ofLayer = ({ costs, layers = 1 }: DeviceModel): CostTable =>
  costs.map(({ nodes, ms }) => ({ nodes, ms: ms / layers }));

function tooSmall(bytes: number, needed: number, model: string): JoinError {
  const mib = (count: number) => Math.ceil(count / MIB);
  return new JoinError(
    `option '--memory <size>' is ${mib(bytes)} MiB; a single layer of ${model} and the process that runs it need ` +
      `${mib(needed)} MiB.`,
  );
}

/** One line for each unit whose weights are fetched. */
function showFetch(progress: Progress): (what: string, fetched: FetchProgress) => void {
  let shown = "";
  return (what, { doneBytes, totalBytes }) => {
    if (what !== shown) progress.begin(`weights of ${what}`);
    shown = what;
    progress.advance(
      doneBytes / totalBytes,
      `${Math.round(doneBytes / MIB)} of ${Math.round(totalBytes / MIB)} MiB`,
    );
    if (doneBytes < totalBytes) return;
    progress.done(`${(totalBytes / MIB).toFixed(1)} MiB fetched`);
    shown = "";
  };
}
