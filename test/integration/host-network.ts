import { randomBytes } from "node:crypto";
import {
  type NetworkNamespace,
  NetworkUnavailableError,
  openNamespace,
  requireNetworkTools,
  runTool,
  type Shaper,
  shapeDevice,
} from "../../bench/mesh-cost/network-namespace.ts";
import type { LinkModel } from "../../transport/link-model.ts";

/** Where a host of a test is. */
export interface HostPlace {
  /** What to put before its command. */
  readonly prefix: readonly string[];
  /** For `flowmesh node`: what of its link the place does not have by itself. */
  readonly args: readonly string[];
}

/**
 * Machines for the hosts of a test: network namespaces, each with an address of its own and a cable to this
 * machine, where `flowmesh up` runs; or, where they can't be had, places on this machine's loopback.
 */
export interface HostNetwork {
  /** Which of both it is, and what makes the links. */
  readonly description: string;
  /** For `flowmesh up`, so that the hosts reach its nats-server. */
  readonly upArguments: readonly string[];
  /** One more machine. */
  open(): Promise<HostPlace>;
  /** Resolves when everything is gone. */
  close(): Promise<void>;
}

/** RFC 2544 sets 198.18.0.0/15 aside for tests of network devices. A test takes 256 addresses of it. */
const BLOCKS = 512;
const HOSTS_MAX = 62;
const FAR_DEVICE = "flow0";
const REACH_MS = 5000;

/** Says on standard error what it has opened. */
export async function openHostNetwork(link: Required<LinkModel>): Promise<HostNetwork> {
  const network = await openNamespaces(link).catch((error: unknown) => {
    if (!(error instanceof NetworkUnavailableError)) throw error;
    return onLoopback(link, error.message);
  });
  console.warn(network.description);
  return network;
}

function onLoopback({ delayMs, mbps }: Required<LinkModel>, why: string): HostNetwork {
  const link = `${delayMs}ms/${mbps}mbit`;
  return {
    description: `hosts are processes on loopback (no network namespaces: ${why}); each stage is behind a link of ${link} in the transport`,
    upArguments: [],
    open: async () => ({ prefix: [], args: ["--link", link] }),
    close: async () => {},
  };
}

async function openNamespaces(link: Required<LinkModel>): Promise<HostNetwork> {
  requireNetworkTools();
  const { row, programs, shaper } = await MachineRow.open(link);
  try {
    await requireReach(programs, row.centre);
    return describeRow(row, link, shaper);
  } catch (error) {
    await row.close();
    throw error;
  }
}

function describeRow(row: MachineRow, link: Required<LinkModel>, shaper: Shaper): HostNetwork {
  const { delayMs, mbps } = link;
  const places =
    `hosts are in network namespaces, each with an address of its own in ${row.block}; ` +
    `${mbps} Mbit/s by the kernel's ${shaper}`;
  const delay =
    shaper === "netem"
      ? `, as are ${delayMs} ms of delay`
      : `; it has no netem, so ${delayMs} ms of delay are by the transport, before each stage`;
  const description = delayMs === 0 ? places : places + delay;
  return {
    description,
    // Beyond loopback nats-server wants a token.
    upArguments: ["--nats-host", row.centre, "--nats-token", randomBytes(16).toString("hex")],
    async open() {
      const { programs: prefix } = await row.add();
      return { prefix, args: shaper === "netem" ? [] : ["--link", `${delayMs}ms`] };
    },
    close: () => row.close(),
  };
}

/** Machines that are cabled to this one. The first only keeps the address that all of them know. */
class MachineRow {
  readonly block: string;
  readonly #number: number;
  readonly #link: LinkModel;
  readonly #opened: NetworkNamespace[] = [];
  #count = 0;

  /** The first device's name takes the block: there can't be two of one name. */
  static async open(link: LinkModel) {
    for (let tries = 0; ; tries++) {
      const row = new MachineRow((process.pid + tries) % BLOCKS, link);
      try {
        return { row, ...(await row.add()) };
      } catch (error) {
        await row.close();
        if (!String(error).includes("File exists") || tries === BLOCKS) throw error;
      }
    }
  }

  private constructor(number: number, link: LinkModel) {
    this.#number = number;
    this.#link = link;
    this.block = `198.${18 + (number >> 8)}.${number & 255}.0/24`;
  }

  /** This machine's address, as all others know it. */
  get centre(): string {
    return this.#address(0, 1);
  }

  async add(): Promise<{ readonly programs: readonly string[]; readonly shaper: Shaper }> {
    const index = this.#count++;
    if (index > HOSTS_MAX) throw new RangeError(`there is room for ${HOSTS_MAX} machines`);
    const namespace = await openNamespace();
    this.#opened.push(namespace);
    await this.#cable(namespace, index);
    const { setup } = namespace;
    await runTool([...setup, "ip", "route", "add", "default", "via", this.#address(index, 1)]);
    const shaper = await shapeDevice([], this.#device(index), this.#link);
    await shapeDevice(setup, FAR_DEVICE, this.#link);
    return { programs: namespace.programs, shaper };
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.map((namespace) => namespace.close()));
  }

  #device(index: number): string {
    return `flow-${this.#number}-${index}`;
  }

  #address(index: number, end: 1 | 2): string {
    return `198.${18 + (this.#number >> 8)}.${this.#number & 255}.${4 * index + end}`;
  }

  async #cable({ pid, setup }: NetworkNamespace, index: number): Promise<void> {
    const device = this.#device(index);
    const peer = ["type", "veth", "peer", "name", FAR_DEVICE, "netns", pid];
    await runTool(["ip", "link", "add", device, ...peer]);
    const ends = [
      [[], device, this.#address(index, 1)],
      [setup, FAR_DEVICE, this.#address(index, 2)],
    ] as const;
    for (const [within, name, address] of ends) {
      await runTool([...within, "ip", "address", "add", `${address}/30`, "dev", name]);
      // As on a cable: each packet goes alone, and is counted with its headers.
      await runTool([...within, "ip", "link", "set", "dev", name, "gso_max_segs", "1"]);
      await runTool([...within, "ip", "link", "set", name, "up"]);
    }
    await runTool([...setup, "ip", "link", "set", "lo", "up"]);
  }
}

/** A firewall may stand between namespaces that are there. */
async function requireReach(prefix: readonly string[], address: string): Promise<void> {
  const listener = Bun.listen({ hostname: address, port: 0, socket: { data() {} } });
  try {
    const connect = `await Bun.connect({ hostname: "${address}", port: ${listener.port}, socket: { data() {} } }); process.exit(0)`;
    const child = Bun.spawn([...prefix, process.execPath, "-e", connect], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
      timeout: REACH_MS,
      killSignal: "SIGKILL",
    });
    if ((await child.exited) !== 0)
      throw new NetworkUnavailableError(`${address} is out of reach from a namespace`);
  } finally {
    listener.stop(true);
  }
}
