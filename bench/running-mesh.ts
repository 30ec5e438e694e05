import { createServer } from "node:net";
import { join } from "node:path";

const MAIN = join(import.meta.dir, "../cli/main.ts");
const START_MS_MAX = 300_000;
const STOP_MS_MAX = 20_000;

export interface RunningMesh {
  readonly url: string;
  readonly natsUrl: string;
  /** What nats-server wants from who connects, if `up` was given one. */
  readonly natsToken?: string;
  readonly mesh: string;
  readonly pid: number;
  /** All that it has written so far. */
  output(): string;
  /** Ends it as Ctrl-C does; gives the exit code. */
  stop(): Promise<number>;
}

/** A port that nobody listens on just now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** Runs `flowmesh up` in a process of its own as a user would, and waits until it would serve, or waits for hosts. */
export const startMesh = (...args: string[]): Promise<RunningMesh> => startMeshIn(undefined, ...args);

/** The same in another environment than this process's own. */
export async function startMeshIn(
  env: Record<string, string | undefined> | undefined,
  ...args: string[]
): Promise<RunningMesh> {
  const [port, natsPort] = [await freePort(), await freePort()];
  const mesh = `test-${port}`;
  const addresses = ["--port", String(port), "--nats-port", String(natsPort), "--mesh", mesh];
  const child = Bun.spawn([process.execPath, MAIN, "up", ...addresses, ...args], {
    ...(env && { env }),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const part of stream) output += decoder.decode(part, { stream: true });
  };
  const collected = Promise.all([collect(child.stdout), collect(child.stderr)]);
  const url = `http://127.0.0.1:${port}`;
  const deadline = performance.now() + START_MS_MAX;
  // The gateway serves a moment before `up` knows it; a stop in between is one of a start that was called off.
  while (!output.includes("Press Ctrl-C to stop.")) {
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill("SIGKILL");
      await collected;
      throw new Error(`flowmesh up does not serve (exit code ${child.exitCode}):\n${output}`);
    }
    await Bun.sleep(50);
  }
  const natsToken = optionValue(args, "--nats-token");
  return {
    url,
    natsUrl: `nats://${optionValue(args, "--nats-host") ?? "127.0.0.1"}:${natsPort}`,
    ...(natsToken !== undefined && { natsToken }),
    mesh,
    pid: child.pid,
    output: () => output,
    async stop() {
      child.kill("SIGINT");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
      const code = await child.exited;
      clearTimeout(timer);
      await collected;
      return code;
    },
  };
}

/** Of an option that takes one. */
function optionValue(args: readonly string[], option: string): string | undefined {
  const at = args.indexOf(option);
  return at === -1 ? undefined : args[at + 1];
}

/** Processes that descend from `pid`, by the kernel's own record. */
export async function descendants(pid: number): Promise<number[]> {
  const found: number[] = [];
  const pending = [pid];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    const tasks = await Bun.file(`/proc/${at}/task/${at}/children`)
      .text()
      .catch(() => "");
    const children = tasks.split(" ").filter(Boolean).map(Number);
    found.push(...children);
    pending.push(...children);
  }
  return found;
}
