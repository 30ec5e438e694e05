import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import type { HostAgent } from "../actors/host/agent.ts";
import { ChildProcess } from "../actors/host/child-process.ts";
import { type NatsAddress, NatsServerProcess } from "../actors/host/nats-server-process.ts";
import { isPortFree, requireFreePort } from "../actors/host/port-check.ts";
import { Supervisor } from "../actors/host/supervisor.ts";
import {
  type ActorRecord,
  blobBucketOf,
  bucketOf,
  KEYS,
  type MeshRecord,
  PROTOCOL,
} from "../actors/mesh/records.ts";
import { provideWeights } from "../actors/mesh/weights.ts";
import { encodeJson } from "../actors/messages.ts";
import { systemClock } from "../actors/runtime/clock.ts";
import { jsonLog, type Log, textLog } from "../actors/runtime/log.ts";
import { provideNatsServer } from "../models/provision/nats-server.ts";
import { version } from "../package.json" with { type: "json" };
import type { KeyValue } from "../transport/key-value.ts";
import { openNatsBlobStore } from "../transport/nats-blob-store.ts";
import { openNatsKeyValue } from "../transport/nats-key-value.ts";
import { announce, apiUrl } from "./announcement.ts";
import { waitUntilServing } from "./api-health.ts";
import { connectMesh } from "./connect-mesh.ts";
import { readDeviceModel } from "./device-model.ts";
import { requireSafeAccess, tlsOf } from "./gateway-access.ts";
import { machineName } from "./host-name.ts";
import { defaultKeysPath } from "./keys-file.ts";
import { LOOPBACK } from "./loopback.ts";
import { createMeshHost, servesAlone } from "./mesh-host.ts";
import { prepareModel } from "./prepared-model.ts";
import { Progress, type ProgressStream } from "./progress.ts";
import type { GatewayRole, NatsAccess } from "./role.ts";
import { claimRunFolder } from "./run-folder.ts";
import type { Settings } from "./settings.ts";
import type { Split } from "./split.ts";
import { chooseSplit } from "./split-trial.ts";
import { listenForStop } from "./stop-signals.ts";
import { logEvent } from "./supervisor-log.ts";
import type { UpOptions } from "./up-options.ts";
import { UsageError } from "./usage-error.ts";

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
  await requireSafeAccess(options);
  requireMemory(options);
  requireFreePorts(options);
  const progress = new Progress(output);
  const makeLog = settings.logFormat === "json" ? jsonLog : textLog;
  const log = makeLog((line) => progress.line(line), { least: settings.logLevel });
  const supervisor = new Supervisor({ clock: systemClock, onEvent: (event) => logEvent(log, event) });
  const folder = await claimRunFolder(settings.runs, options.mesh);
  const onKill: (() => void)[] = [];
  const stop = listenForStop((exitCode) => {
    for (const kill of onKill) kill();
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
    onKill,
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
  /** What a second Ctrl-C ends. */
  readonly onKill: (() => void)[];
}

function requireMemory({ kvMemory = 0 }: UpOptions): void {
  if (kvMemory < totalmem()) return;
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  throw new UsageError(
    `option '--kv-memory <size>' is ${gib(kvMemory)} GiB; this machine has ${gib(totalmem())} GiB, for the weights too.`,
  );
}

function requireFreePorts({ host, port, natsPort, natsHost }: UpOptions): void {
  requireFreePort({ host, port, wantedBy: "the HTTP API", remedy: "Choose another one with --port." });
  if (natsPort === undefined) return;
  const remedy = "Choose another one with --nats-port, or leave that option out to get a free one.";
  requireFreePort({ host: natsHost ?? NATS_HOST, port: natsPort, wantedBy: "nats-server", remedy });
}

async function startMesh(mesh: Mesh): Promise<void> {
  const { options, environment, progress, supervisor, signal, log } = mesh;
  const nats = await startNatsServer(mesh);
  const model = await prepareModel(options, { cache: environment.settings.cache, progress, signal });
  signal.throwIfAborted();
  const device = options.device === undefined ? {} : { device: await readDeviceModel(options.device) };
  const name = options.name ?? machineName();
  const transport = await connectMesh(nats, { name: `${options.mesh}-${name}`, log });
  mesh.stopFirst.push(() => transport.close());
  const store = await openNatsKeyValue(transport, bucketOf(options.mesh));
  const blobs = await openNatsBlobStore(transport, blobBucketOf(options.mesh));
  const weights = await provideWeights({ mesh: options.mesh, transport, blobs }, model.path);
  const record = meshRecord(options, { ...model.record, parts: weights.parts });
  await writeMesh(store, record);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  let gatewayPid: (() => number) | undefined;
  const otherActors = (): ActorRecord[] =>
    gatewayPid === undefined
      ? []
      : [{ role: "gateway", name: "gateway", pid: gatewayPid(), epoch: 0, state: "active" }];
  const makeHost = ({ stages, threads }: Split, mesh: MeshRecord, store: KeyValue) =>
    createMeshHost({
      ...{ name, nats, transport, store, mesh, threads, log },
      ...{ cache: environment.settings.cache, childCommand: environment.childCommand },
      source: { path: model.path, ensure: async () => {} },
      ...(model.headManifest && { headManifest: model.headManifest }),
      slots: stages,
      control: true,
      memoryBytes: totalmem(),
      ...(options.kvMemory !== undefined && { kvMemoryBytes: options.kvMemory }),
      labels: {},
      ...device,
      ...(options.link && { link: options.link }),
      reportWork: options.reportWork,
      onEvent: (event) => logEvent(log, event),
      onFailure: (_, reason) => failed.reject(new ActorsError(reason)),
      otherActors,
    });
  const trial = { transport, mesh: record, modelPath: model.path, signal, failed: failed.promise, makeHost };
  const split = await chooseSplit(options, { progress, cache: environment.settings.cache }, trial);
  progress.begin("actors");
  const host = makeHost(split, record, store);
  mesh.stopFirst.unshift(() => host.stop());
  mesh.onKill.push(() => host.agent.kill());
  await host.agent.join();
  gatewayPid = await startGateway(mesh, { nats, name, modelPath: model.path });
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {});
  signal.addEventListener("abort", () => aborted.reject(signal.reason));
  signal.throwIfAborted();
  const calledOff = [
    failed.promise,
    supervisor.escalated.then((error) => Promise.reject(error)),
    aborted.promise,
  ];
  if (split.stages > 0) {
    await Promise.race([allActive(host.agent, split.stages, mesh), ...calledOff]);
    await Promise.race([waitUntilServing(apiUrl(options), signal), ...calledOff]);
  }
  const names = host.agent.actors.map((actor) => actor.name).toSorted(byRole);
  progress.done(names.join(", "));
  progress.line(announce(options, split.stages, model.record.id, nats));
}

/** A placed actor could not run here, for the reason given. */
class ActorsError extends Error {
  override readonly name = "ActorsError";
}

const ROLE_ORDER = ["stage", "drafter", "tree", "gateway"];
const byRole = (a: string, b: string): number => {
  const place = (name: string) => ROLE_ORDER.findIndex((role) => name.startsWith(role));
  return place(a) - place(b) || a.localeCompare(b, "en", { numeric: true });
};

/** Resolves when everything that this host was given serves the first placement. */
async function allActive(
  agent: HostAgent,
  stageCount: number,
  { options, progress, signal }: Mesh,
): Promise<void> {
  const expected = stageCount + (options.drafter === "none" ? 1 : 2) + 1;
  for (;;) {
    signal.throwIfAborted();
    const up = agent.actors.filter(({ state }) => state !== "starting").length;
    progress.advance(up / expected);
    if (servesAlone(agent.actors, stageCount)) return;
    await Bun.sleep(20);
  }
}

function meshRecord(options: UpOptions, model: MeshRecord["model"]): MeshRecord {
  const { mesh, policy, sessions: sessionsLeast, pin } = options;
  return { mesh, protocol: PROTOCOL, version, policy, sessionsLeast, pins: [...(pin ?? [])], model };
}

async function writeMesh(store: KeyValue, record: MeshRecord): Promise<void> {
  const known = await store.get(KEYS.mesh);
  const value = encodeJson(record);
  if (known === undefined) await store.create(KEYS.mesh, value);
  else await store.update(KEYS.mesh, value, known.revision);
}

/** Gives what tells its process id, which changes when it is restarted. */
async function startGateway(
  { options, environment, supervisor, log, signal: stopped }: Mesh,
  at: { readonly nats: NatsAccess; readonly name: string; readonly modelPath: string },
): Promise<() => number> {
  const { nats, name: host, modelPath } = at;
  const { mesh, host: listen, port, keys: keysPath = defaultKeysPath(), cors: allowedOrigins = [] } = options;
  const tls = tlsOf(options);
  const limits = {
    sessionsMax: options.maxSessions,
    waitingMax: options.queue,
    patienceMs: options.queueWait * 1000,
  };
  const address = { listen, port, keysPath, allowedOrigins, limits, ...(tls && { tls }) };
  const spec: GatewayRole = { role: "gateway", nats, mesh, host, modelPath, ...address };
  const command = environment.childCommand;
  let pid = 0;
  const start = async (abort: AbortSignal) => {
    const signal = AbortSignal.any([abort, stopped]);
    const child = await ChildProcess.start({
      name: "gateway",
      command,
      spec,
      log,
      clock: systemClock,
      signal,
    });
    pid = child.pid;
    return child;
  };
  await supervisor.start({ name: "gateway", start });
  return () => pid;
}

async function startNatsServer({
  options,
  environment,
  progress,
  log,
  supervisor,
  ...mesh
}: Mesh): Promise<NatsAccess> {
  const { signal } = mesh;
  progress.begin("nats-server");
  const server = await provideNatsServer({
    cacheRoot: environment.settings.cache,
    signal,
    onProgress: ({ doneBytes, totalBytes }) => totalBytes && progress.advance(doneBytes / totalBytes),
  });
  const host = options.natsHost ?? NATS_HOST;
  // Whoever can reach the server could otherwise read along and send what it likes.
  const token = options.natsToken ?? (LOOPBACK.has(host) ? undefined : randomBytes(16).toString("hex"));
  // Kept over restarts: clients come back to the address they know.
  let port = options.natsPort ?? (isPortFree(host, NATS_PORT) ? NATS_PORT : 0);
  let address: NatsAddress | undefined;
  const start = async (abort: AbortSignal) => {
    const started = await NatsServerProcess.start({
      program: server.path,
      folder: join(mesh.folder, "nats-server"),
      host,
      port,
      ...(token !== undefined && { token }),
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
  const url = address?.url ?? `nats://${NATS_HOST}:${port}`;
  progress.done(`${server.version} at ${url}`);
  return { url, ...(token !== undefined && { token }) };
}
