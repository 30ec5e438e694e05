import { readFileSync } from "node:fs";
import { join } from "node:path";
import { descendants, type RunningMesh } from "../../bench/running-mesh.ts";
import { type MeshSnapshot, MeshWatch, type WatchOptions } from "../../cli/top-snapshot.ts";
import { AnswerError, answerEvents } from "./answer-events.ts";
import type { HostPlace } from "./host-network.ts";

const MAIN = join(import.meta.dir, "../../cli/main.ts");

/** This machine's own network. */
const LOOPBACK: HostPlace = { prefix: [], args: [] };

/** `flowmesh node` in a process of its own, as on another machine: with a cache that no other one has. */
export class RunningNode {
  readonly exited: Promise<number>;
  text = "";
  readonly #process: Bun.Subprocess<"ignore", "ignore", "pipe">;
  readonly #place: HostPlace;

  constructor(home: string, args: readonly string[], place: HostPlace = LOOPBACK) {
    this.#place = place;
    const command = [process.execPath, MAIN, "node", ...args, ...place.args];
    this.#process = Bun.spawn([...place.prefix, ...command], {
      env: { ...process.env, FLOWMESH_HOME: home },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const reading = this.#read();
    this.exited = this.#process.exited.then(async (code) => {
      await reading;
      return code;
    });
  }

  /** Of the process, or of one that only waits for it in a place of its own. */
  get pid(): number {
    return this.#process.pid;
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  signal(name: NodeJS.Signals): void {
    if (!this.isRunning) return;
    // What enters a place does not pass signals on.
    const { prefix } = this.#place;
    if (prefix.length > 0) for (const pid of childrenOf(this.pid)) process.kill(pid, name);
    this.#process.kill(name);
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stderr) this.text += decoder.decode(chunk, { stream: true });
  }
}

/** A slow processor's, by segment size; see bench/devices/cpu-fast.json. */
const SEGMENT_FACTORS = [
  { nodes: 1, factor: 1 },
  { nodes: 2, factor: 1.12 },
  { nodes: 4, factor: 1.5 },
  { nodes: 8, factor: 2 },
  { nodes: 16, factor: 3.3 },
  { nodes: 32, factor: 5.7 },
  { nodes: 64, factor: 10.6 },
] as const;

/**
 * For `flowmesh node`: as fast as a device that takes so many milliseconds for one token in one layer. So a
 * host's speed, and with it the placement, does not depend on what else this machine does.
 */
export async function pacedAt(folder: string, layerMs: number): Promise<string[]> {
  const path = join(folder, `${layerMs}ms-a-layer.json`);
  const costs = SEGMENT_FACTORS.map(({ nodes, factor }) => ({ nodes, ms: factor * layerMs }));
  await Bun.write(path, JSON.stringify({ name: `${layerMs} ms a layer`, layers: 1, costs }));
  return ["--device", path];
}

/** Joins as `name`, on a machine of one core. */
export function startNode(
  mesh: RunningMesh,
  { home, place }: { readonly home: string; readonly place?: HostPlace | undefined },
  name: string,
  ...args: string[]
): RunningNode {
  const token = mesh.natsToken === undefined ? [] : ["--token", mesh.natsToken];
  const where = ["--nats", mesh.natsUrl, ...token, "--mesh", mesh.mesh, "--name", name, "--threads", "1"];
  return new RunningNode(home, [...where, ...args], place);
}

/** How to look at it, and to drain its hosts. */
export const accessTo = ({ natsUrl, natsToken, mesh }: RunningMesh): WatchOptions => ({
  nats: natsUrl,
  mesh,
  ...(natsToken !== undefined && { token: natsToken }),
});

export interface Streamed {
  readonly text: string;
  readonly finish: string | undefined;
  /** What an error event said. */
  readonly error: string | undefined;
  /** Longest time between two events, milliseconds. */
  readonly longestPauseMs: number;
  /** From the first text to the last, milliseconds. */
  readonly decodeMs: number;
}

/** Ends of an answer, which comes after other texts on other processors: all answers shall be as long as they may. */
const NO_END = { 0: -100, 2: -100 };

/** Streams a greedy answer over SSE; `onEvent` hears how many events there were. */
export async function stream(
  mesh: RunningMesh,
  content: string,
  options: {
    readonly maxTokens: number;
    /** Absent: the mesh's. */
    readonly policy?: string;
    readonly onEvent?: (count: number) => void;
  },
): Promise<Streamed> {
  const response = await fetch(`${mesh.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "default",
      stream: true,
      temperature: 0,
      max_tokens: options.maxTokens,
      logit_bias: NO_END,
      flowmesh: { policy: options.policy },
      messages: [{ role: "user", content }],
    }),
  });
  const result = {
    text: "",
    finish: undefined as string | undefined,
    error: undefined as string | undefined,
  };
  let [count, lastAtMs, longestPauseMs] = [0, performance.now(), 0];
  let [firstTextMs, lastTextMs] = [Number.NaN, Number.NaN];
  try {
    for await (const { content: text, finish } of answerEvents(response)) {
      longestPauseMs = Math.max(longestPauseMs, performance.now() - lastAtMs);
      lastAtMs = performance.now();
      result.text += text;
      if (text !== "") lastTextMs = lastAtMs;
      if (Number.isNaN(firstTextMs)) firstTextMs = lastTextMs;
      result.finish = finish ?? result.finish;
      options.onEvent?.(++count);
    }
  } catch (error) {
    if (!(error instanceof AnswerError)) throw error;
    result.error = error.message;
  }
  return { ...result, longestPauseMs, decodeMs: lastTextMs - firstTextMs };
}

/** Looks at the mesh until it is as wanted. */
export async function until(
  mesh: RunningMesh,
  isSo: (snapshot: MeshSnapshot) => boolean,
  deadlineMs = 60_000,
): Promise<MeshSnapshot> {
  const watch = await MeshWatch.open(accessTo(mesh));
  try {
    const end = performance.now() + deadlineMs;
    for (;;) {
      const snapshot = await watch.read();
      if (isSo(snapshot)) return snapshot;
      if (performance.now() > end) throw new Error(`not in time: ${JSON.stringify(snapshot)}`);
      await Bun.sleep(100);
    }
  } finally {
    await watch.close();
  }
}

/** Hosts that run stages in the placement in force. */
export const stageHosts = ({ actors, epoch }: MeshSnapshot): string[] =>
  actors.filter((actor) => actor.role === "stage" && actor.epoch === epoch).map(({ host }) => host);

/** Of this process, by the kernel's own record. */
function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/**
 * The number here of a process that descends from `ancestor` and calls itself `pid`: in a place of its own,
 * numbers are others.
 */
export async function processHere(ancestor: number, pid: number): Promise<number> {
  for (const candidate of [ancestor, ...(await descendants(ancestor))]) {
    const status = await Bun.file(`/proc/${candidate}/status`)
      .text()
      .catch(() => "");
    const innermost = /^NSpid:.*?(\d+)$/m.exec(status)?.[1];
    if (innermost !== undefined && Number(innermost) === pid) return candidate;
  }
  throw new Error(`process ${pid} is not among those of process ${ancestor}`);
}

/** Ends a process at once; refuses 0, which would be this one's whole group. */
export function killProcess(pid: number | undefined): void {
  if (pid === undefined || pid <= 0) throw new RangeError(`there is no process ${pid} to kill`);
  process.kill(pid, "SIGKILL");
}
