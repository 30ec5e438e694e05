import type { Subprocess } from "bun";
import type { LinkModel } from "../../transport/link-model.ts";

/**
 * Two network namespaces on this machine, joined by a veth pair that the kernel shapes: two machines and a
 * cable, as far as programs can tell. Each is held by a process of its own that ends with this one, however
 * that ends, and takes the namespace, its end of the cable and all processes inside with it.
 */
export interface NetworkPair {
  /** What to put before a command so that it runs at this end. */
  readonly near: readonly string[];
  readonly far: readonly string[];
  readonly farAddress: string;
  /** `netem` has delays and rates; `tbf`, for kernels without it, only rates. */
  readonly shaper: "netem" | "tbf";
  /** What the shaper makes of the cable, in each direction. */
  readonly link: LinkModel;
  /** Resolves when everything is gone. */
  close(): Promise<void>;
}

/** Namespaces can't be had on this machine, for the reason given. */
export class NetworkUnavailableError extends Error {
  override readonly name = "NetworkUnavailableError";
}

/** Name of the cable's end in the near namespace. */
export const NEAR_DEVICE = "flow-near";
const FAR_DEVICE = "flow-far";
const NEAR_ADDRESS = "10.77.0.1";
const FAR_ADDRESS = "10.77.0.2";
/** Holds a namespace until its standard input ends. `/proc` still tells the number outside. */
const HOLDER = 'read -r pid _ </proc/self/stat; echo "$pid"; exec cat >/dev/null';
/** Two packets may leave at once; with only one, every late timer would cost rate. */
const TBF_BURST_BYTES = 3_200;
const QUEUE_BYTES = 8 * 1024 * 1024;
const QUEUE_PACKETS = 10_000;

type Holder = Subprocess<"pipe", "pipe", "pipe">;

/**
 * Where the kernel has no delays, the link has only the rate of the one that is asked for. Rejects with
 * NetworkUnavailableError where all this is not allowed or not there; then nothing is left, either.
 */
export async function openNetworkPair(wanted: LinkModel): Promise<NetworkPair> {
  await requireTools();
  const holders: Holder[] = [];
  const close = async () => {
    for (const holder of holders) await holder.stdin.end();
    await Promise.all(holders.map((holder) => holder.exited));
  };
  try {
    const [near, far] = [await enter(holders), await enter(holders)];
    await connect(near, far);
    const shaper = await shape(near, NEAR_DEVICE, wanted);
    await shape(far, FAR_DEVICE, wanted);
    const link = shaper === "netem" ? wanted : { ...wanted, delayMs: 0 };
    return { near: near.programs, far: far.programs, farAddress: FAR_ADDRESS, shaper, link, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function requireTools(): Promise<void> {
  if (process.platform !== "linux") throw new NetworkUnavailableError("network namespaces need Linux");
  if (process.getuid?.() !== 0) throw new NetworkUnavailableError("network namespaces need root");
  const missing = ["ip", "tc", "nsenter", "unshare", "cat"].filter((tool) => Bun.which(tool) === null);
  if (missing.length > 0) {
    throw new NetworkUnavailableError(`not on PATH: ${missing.join(", ")} (packages iproute2, util-linux)`);
  }
}

interface Namespace {
  readonly pid: string;
  /** What to put before commands that set up the network. */
  readonly setup: readonly string[];
  /** What to put before programs, which must not outlive the namespace. */
  readonly programs: readonly string[];
}

async function enter(holders: Holder[]): Promise<Namespace> {
  const command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", HOLDER];
  const holder = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "pipe", detached: true });
  holders.push(holder);
  const { value } = await holder.stdout.getReader().read();
  const pid = new TextDecoder().decode(value).trim();
  if (!/^\d+$/.test(pid)) {
    throw new NetworkUnavailableError(
      `no namespace can be made: ${(await new Response(holder.stderr).text()).trim()}`,
    );
  }
  const setup = ["nsenter", "--target", pid, "--net"];
  return { pid, setup, programs: [...setup, "--pid"] };
}

async function connect(near: Namespace, far: Namespace): Promise<void> {
  const peer = ["type", "veth", "peer", "name", FAR_DEVICE, "netns", far.pid];
  await run([...near.setup, "ip", "link", "add", NEAR_DEVICE, ...peer]);
  const ends = [
    [near.setup, NEAR_DEVICE, NEAR_ADDRESS],
    [far.setup, FAR_DEVICE, FAR_ADDRESS],
  ] as const;
  for (const [setup, device, address] of ends) {
    await run([...setup, "ip", "address", "add", `${address}/30`, "dev", device]);
    // As on a cable: each packet goes alone, and is counted with its headers.
    await run([...setup, "ip", "link", "set", "dev", device, "gso_max_segs", "1"]);
    await run([...setup, "ip", "link", "set", device, "up"]);
    await run([...setup, "ip", "link", "set", "lo", "up"]);
  }
}

/** Tries netem first: it alone has delays. */
async function shape(
  { setup }: Namespace,
  device: string,
  { delayMs, mbps }: LinkModel,
): Promise<"netem" | "tbf"> {
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
  await run([...add, "tbf", ...rate, "burst", `${TBF_BURST_BYTES}`, "limit", `${QUEUE_BYTES}`]);
  return "tbf";
}

async function run(command: readonly string[]): Promise<void> {
  const problem = await attempt(command);
  if (problem !== undefined) throw new NetworkUnavailableError(`${command.join(" ")}: ${problem}`);
}

/** What the command complained about; undefined when it succeeded. */
async function attempt(command: readonly string[]): Promise<string | undefined> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const text = await new Response(child.stderr).text();
  return (await child.exited) === 0 ? undefined : text.trim().split("\n").at(-1) || "it failed";
}
