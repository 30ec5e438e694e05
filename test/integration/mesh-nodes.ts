import { join } from "node:path";
import type { RunningMesh } from "../../bench/running-mesh.ts";
import { type MeshSnapshot, MeshWatch } from "../../cli/top-snapshot.ts";

const MAIN = join(import.meta.dir, "../../cli/main.ts");

/** `flowmesh node` in a process of its own, as on another machine: with a cache that no other one has. */
export class RunningNode {
  readonly pid: number;
  readonly exited: Promise<number>;
  text = "";
  readonly #process: Bun.Subprocess<"ignore", "ignore", "pipe">;

  constructor(home: string, args: readonly string[]) {
    this.#process = Bun.spawn([process.execPath, MAIN, "node", ...args], {
      env: { ...process.env, FLOWMESH_HOME: home },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    this.pid = this.#process.pid;
    const reading = this.#read();
    this.exited = this.#process.exited.then(async (code) => {
      await reading;
      return code;
    });
  }

  signal(name: NodeJS.Signals): void {
    if (this.#process.exitCode === null) this.#process.kill(name);
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stderr) this.text += decoder.decode(chunk, { stream: true });
  }
}

/** Joins as `name`, on a machine of one core. */
export function startNode(mesh: RunningMesh, folder: string, name: string, ...args: string[]): RunningNode {
  const where = ["--nats", mesh.natsUrl, "--mesh", mesh.mesh, "--name", name, "--threads", "1"];
  return new RunningNode(join(folder, name), [...where, ...args]);
}

export interface Streamed {
  readonly text: string;
  readonly finish: string | undefined;
  /** What an error event said. */
  readonly error: string | undefined;
  /** Longest time between two events, milliseconds. */
  readonly longestPauseMs: number;
}

/** Streams a greedy answer over SSE; `onEvent` hears how many events there were. */
export async function stream(
  mesh: RunningMesh,
  content: string,
  options: { readonly maxTokens: number; readonly onEvent?: (count: number) => void },
): Promise<Streamed> {
  const response = await fetch(`${mesh.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "default",
      stream: true,
      temperature: 0,
      max_tokens: options.maxTokens,
      messages: [{ role: "user", content }],
    }),
  });
  if (!response.ok || response.body === null) throw new Error(`${response.status}: ${await response.text()}`);
  const decoder = new TextDecoder();
  const result = {
    text: "",
    finish: undefined as string | undefined,
    error: undefined as string | undefined,
  };
  let [rest, count, lastAtMs, longestPauseMs] = ["", 0, performance.now(), 0];
  for await (const chunk of response.body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
      longestPauseMs = Math.max(longestPauseMs, performance.now() - lastAtMs);
      lastAtMs = performance.now();
      const event = JSON.parse(line.slice("data: ".length));
      if (event.error !== undefined) result.error = event.error.message;
      result.text += event.choices?.[0]?.delta?.content ?? "";
      result.finish = event.choices?.[0]?.finish_reason ?? result.finish;
      options.onEvent?.(++count);
    }
  }
  return { ...result, longestPauseMs };
}

/** Looks at the mesh until it is as wanted. */
export async function until(
  mesh: RunningMesh,
  isSo: (snapshot: MeshSnapshot) => boolean,
  deadlineMs = 60_000,
): Promise<MeshSnapshot> {
  const watch = await MeshWatch.open({ nats: mesh.natsUrl, mesh: mesh.mesh });
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

/** Ends a process at once; refuses 0, which would be this one's whole group. */
export function killProcess(pid: number | undefined): void {
  if (pid === undefined || pid <= 0) throw new RangeError(`there is no process ${pid} to kill`);
  process.kill(pid, "SIGKILL");
}
