import { rmSync } from "node:fs";
import { join } from "node:path";
import { ChildProcess } from "../actors/host/child-process.ts";
import { type NatsAddress, NatsServerProcess } from "../actors/host/nats-server-process.ts";
import { isPortFree, requireFreePort } from "../actors/host/port-check.ts";
import { Supervisor, type SupervisorEvent } from "../actors/host/supervisor.ts";
import { systemClock } from "../actors/runtime/clock.ts";
import { jsonLog, type Log, textLog } from "../actors/runtime/log.ts";
import { provideNatsServer } from "../models/provision/nats-server.ts";
import type { CostTable } from "../models/stage-engine.ts";
import { announce, apiUrl } from "./announcement.ts";
import { waitUntilServing } from "./api-health.ts";
import { readDeviceModel } from "./device-model.ts";
import { startBeacon } from "./mesh-beacon.ts";
import { drafterChildren, gatewayChild, type MeshChild, stageChildren, treeChild } from "./mesh-children.ts";
import { prepareModel } from "./prepared-model.ts";
import { Progress, type ProgressStream } from "./progress.ts";
import type { StagePayload } from "./role.ts";
import { claimRunFolder } from "./run-folder.ts";
import type { Settings } from "./settings.ts";
import { listenForStop } from "./stop-signals.ts";
import type { UpOptions } from "./up-options.ts";

/** What `up` runs in; a test gives its own. */
export interface UpEnvironment {
  readonly settings: Settings;
  readonly output: ProgressStream;
  /** Program and arguments of a child process, which must call `runChild`. */
  readonly childCommand: readonly string[];
}

const NATS_HOST = "127.0.0.1";
const NATS_PORT = 4222;

/**
 * Starts a whole mesh on this machine and keeps it running until a stop signal comes.
 * Gives the exit code; whatever happens, nothing is left running.
 */
export async function up(options: UpOptions, environment: UpEnvironment): Promise<number> {
  const { settings, output } = environment;
  requireFreePorts(options);
  const progress = new Progress(output);
  const makeLog = settings.logFormat === "json" ? jsonLog : textLog;
  const log = makeLog((line) => progress.line(line), { least: settings.logLevel });
  const supervisor = new Supervisor({ clock: systemClock, onEvent: (event) => logEvent(log, event) });
  const folder = await claimRunFolder(settings.runs, options.mesh);
  const stop = listenForStop((exitCode) => {
    supervisor.kill();
    rmSync(folder, { recursive: true, force: true });
    process.exit(exitCode);
  });
  const mesh: Mesh = {
    options,
    environment,
    progress,
    log,
    supervisor,
    folder,
    signal: stop.signal,
    stopFirst: [],
  };
  try {
    await startMesh(mesh);
    const aborted = new Promise<undefined>((resolve) => {
      stop.signal.addEventListener("abort", () => resolve(undefined));
    });
    const failure = await Promise.race([aborted, supervisor.escalated]);
    if (failure !== undefined) throw failure;
    return 0;
  } catch (error) {
    // Called off by the user: what was under way then fails, and that is no news.
    if (stop.exitCode !== undefined) return stop.exitCode;
    throw error;
  } finally {
    progress.line("stopping…");
    for (const end of mesh.stopFirst) await end();
    await supervisor.stop();
    rmSync(folder, { recursive: true, force: true });
    stop.release();
  }
}

interface Mesh {
  readonly options: UpOptions;
  readonly environment: UpEnvironment;
  readonly progress: Progress;
  readonly log: Log;
  readonly supervisor: Supervisor;
  /** Lives as long as the mesh. */
  readonly folder: string;
  readonly signal: AbortSignal;
  /** What runs in this process and needs the others. */
  readonly stopFirst: (() => Promise<void>)[];
}

function requireFreePorts({ host, port, natsPort }: UpOptions): void {
  requireFreePort({ host, port, wantedBy: "the HTTP API", remedy: "Choose another one with --port." });
  if (natsPort === undefined) return;
  const remedy = "Choose another one with --nats-port, or leave that option out to get a free one.";
  requireFreePort({ host: NATS_HOST, port: natsPort, wantedBy: "nats-server", remedy });
}

async function startMesh(mesh: Mesh): Promise<void> {
  const { options, environment, progress, supervisor, log, signal } = mesh;
  const natsUrl = await startNatsServer(mesh);
  const model = await prepareModel(options, { cache: environment.settings.cache, progress, signal });
  signal.throwIfAborted();
  const device = options.device === undefined ? {} : { device: await readDeviceModel(options.device) };
  const plan = { options, model, natsUrl, ...device };
  progress.begin("actors");
  const stages = stageChildren(plan);
  const costs: CostTable[] = [];
  // One after the other: each measures itself, and should not be slowed down by the others.
  for (const stage of stages) {
    costs.push((await startChild<StagePayload>(mesh, stage)).costs);
    progress.advance(costs.length / (stages.length + 1));
  }
  const others = [...drafterChildren(plan), treeChild(plan, costs), gatewayChild(plan)];
  await Promise.all(others.map((child) => startChild(mesh, child)));
  const beacon = await startBeacon(plan, () => supervisor.missing, log);
  mesh.stopFirst.push(() => beacon.stop());
  await waitUntilServing(apiUrl(options), signal);
  progress.done([...stages, ...others].map(({ name }) => name).join(", "));
  progress.line(announce(options, model, natsUrl));
}

/** Gives what the child said of itself when it was ready. */
function startChild<Payload>(mesh: Mesh, { name, spec }: MeshChild): Promise<Payload> {
  const { environment, supervisor, log } = mesh;
  const command = environment.childCommand;
  const start = (abort: AbortSignal) => {
    const signal = AbortSignal.any([abort, mesh.signal]);
    return ChildProcess.start({ name, command, spec, log, clock: systemClock, signal });
  };
  return supervisor.start({ name, start }) as Promise<Payload>;
}

async function startNatsServer({
  options,
  environment,
  progress,
  log,
  supervisor,
  ...mesh
}: Mesh): Promise<string> {
  const { signal } = mesh;
  progress.begin("nats-server");
  const server = await provideNatsServer({
    cacheRoot: environment.settings.cache,
    signal,
    onProgress: ({ doneBytes, totalBytes }) => totalBytes && progress.advance(doneBytes / totalBytes),
  });
  // Kept over restarts: clients come back to the address they know.
  let port = options.natsPort ?? (isPortFree(NATS_HOST, NATS_PORT) ? NATS_PORT : 0);
  let address: NatsAddress | undefined;
  const start = async (abort: AbortSignal) => {
    const started = await NatsServerProcess.start({
      program: server.path,
      folder: join(mesh.folder, "nats-server"),
      host: NATS_HOST,
      port,
      serverName: `flowmesh-${options.mesh}`,
      log,
      clock: systemClock,
      signal: AbortSignal.any([abort, signal]),
    });
    address = started.payload;
    port = address.port;
    return started;
  };
  await supervisor.start({ name: "nats-server", start });
  const url = `nats://${NATS_HOST}:${port}`;
  progress.done(`${server.version} at ${address?.url ?? url}`);
  return url;
}

function logEvent(log: Log, event: SupervisorEvent): void {
  const actor = event.name;
  switch (event.kind) {
    case "up":
      log.write("info", "is up", { actor, pid: event.pid });
      return;
    case "down":
      log.write("warn", `starts again in ${event.restartInMs} ms: ${event.reason}`, { actor });
      return;
    case "restarted":
      log.write("warn", "is up again", { actor, pid: event.pid, restarts: event.restarts });
      return;
    case "gave-up":
      log.write("error", `is given up: ${event.reason}`, { actor });
      return;
  }
}
