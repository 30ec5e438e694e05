import type { Subprocess } from "bun";
import type { LinkModel } from "../../transport/link-model.ts";

/** Namespaces can't be had on this machine, for the reason given. */
export class NetworkUnavailableError extends Error {
  override readonly name = "NetworkUnavailableError";
}

/**
 * A network and process namespace on this machine. It is held by a process that ends with this one, however
 * that ends, and takes with it the namespace, its network devices, what they are connected to, and all
 * processes inside.
 */
export interface NetworkNamespace {
  /** Of the process that holds it. */
  readonly pid: string;
  /** What to put before commands that set up the network. */
  readonly setup: readonly string[];
  /** What to put before programs, which must not outlive the namespace. */
  readonly programs: readonly string[];
  /** Resolves when everything is gone. */
  close(): Promise<void>;
}

/** `netem` has delays and rates; `tbf`, for kernels without it, only rates. */
export type Shaper = "netem" | "tbf";

/** Holds a namespace until its standard input ends. `/proc` still tells the number outside. */
const HOLDER = 'read -r pid _ </proc/self/stat; echo "$pid"; exec cat >/dev/null';
/** Two packets may leave at once; with only one, every late timer would cost rate. */
const TBF_BURST_BYTES = 3_200;
const QUEUE_BYTES = 8 * 1024 * 1024;
const QUEUE_PACKETS = 10_000;

/** @throws NetworkUnavailableError with what is missing. */
export function requireNetworkTools(): void {
  if (process.platform !== "linux") throw new NetworkUnavailableError("network namespaces need Linux");
  if (process.getuid?.() !== 0) throw new NetworkUnavailableError("network namespaces need root");
  const missing = ["ip", "tc", "nsenter", "unshare", "cat"].filter((tool) => Bun.which(tool) === null);
  if (missing.length > 0) {
    throw new NetworkUnavailableError(`not on PATH: ${missing.join(", ")} (packages iproute2, util-linux)`);
  }
}

/** Rejects with NetworkUnavailableError; then nothing is left. */
export async function openNamespace(): Promise<NetworkNamespace> {
  const command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", HOLDER];
  const holder: Subprocess<"pipe", "pipe", "pipe"> = Bun.spawn(command, {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  const { value } = await holder.stdout.getReader().read();
  const pid = new TextDecoder().decode(value).trim();
  if (!/^\d+$/.test(pid)) {
    await holder.stdin.end();
    throw new NetworkUnavailableError(
      `no namespace can be made: ${(await new Response(holder.stderr).text()).trim()}`,
    );
  }
  const setup = ["nsenter", "--target", pid, "--net"];
  return {
    pid,
    setup,
    programs: [...setup, "--pid"],
    async close() {
      await holder.stdin.end();
      await holder.exited;
    },
  };
}

/**
 * Gives what leaves by a network device a delay and a rate. Tries netem first: it alone has delays; without
 * it, the device only gets the rate.
 *
 * @param setup what to put before commands for the device's namespace
 */
export async function shapeDevice(
  setup: readonly string[],
  device: string,
  { delayMs, mbps }: LinkModel,
): Promise<Shaper> {
  const add = [...setup, "tc", "qdisc", "add", "dev", device, "root"];
  const rate = mbps === undefined ? [] : ["rate", `${mbps}mbit`];
  const netem = await attempt([
    ...add,
    "netem",
    "limit",
    `${QUEUE_PACKETS}`,
    "delay",
    `${delayMs}ms`,
    ...rate,
  ]);
  if (netem === undefined) return "netem";
  if (mbps === undefined) throw new NetworkUnavailableError(`this kernel has no delays: ${netem}`);
  await runTool([...add, "tbf", ...rate, "burst", `${TBF_BURST_BYTES}`, "limit", `${QUEUE_BYTES}`]);
  return "tbf";
}

/** Rejects with NetworkUnavailableError and what the command complained about. */
export async function runTool(command: readonly string[]): Promise<void> {
  const problem = await attempt(command);
  if (problem !== undefined) throw new NetworkUnavailableError(`${command.join(" ")}: ${problem}`);
}

/** What the command complained about; undefined when it succeeded. */
async function attempt(command: readonly string[]): Promise<string | undefined> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const text = await new Response(child.stderr).text();
  return (await child.exited) === 0 ? undefined : text.trim().split("\n").at(-1) || "it failed";
}
