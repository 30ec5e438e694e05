import type { LinkModel } from "../../transport/link-model.ts";
import {
  type NetworkNamespace,
  openNamespace,
  requireNetworkTools,
  runTool,
  type Shaper,
  shapeDevice,
} from "./network-namespace.ts";

/**
 * Two network namespaces on this machine, joined by a veth pair that the kernel shapes: two machines and a
 * cable, as far as programs can tell. They end with this process, however that ends.
 */
export interface NetworkPair {
  /** What to put before a command so that it runs at this end. */
  readonly near: readonly string[];
  readonly far: readonly string[];
  readonly farAddress: string;
  readonly shaper: Shaper;
  /** What the shaper makes of the cable, in each direction. */
  readonly link: LinkModel;
  /** Resolves when everything is gone. */
  close(): Promise<void>;
}

/** Name of the cable's end in the near namespace. */
export const NEAR_DEVICE = "flow-near";
const FAR_DEVICE = "flow-far";
const NEAR_ADDRESS = "10.77.0.1";
const FAR_ADDRESS = "10.77.0.2";

/**
 * Where the kernel has no delays, the link has only the rate of the one that is asked for. Rejects with
 * NetworkUnavailableError where all this is not allowed or not there; then nothing is left, either.
 */
export async function openNetworkPair(wanted: LinkModel): Promise<NetworkPair> {
  requireNetworkTools();
  const opened: NetworkNamespace[] = [];
  const close = async () => {
    await Promise.all(opened.map((namespace) => namespace.close()));
  };
  const open = async () => {
    const namespace = await openNamespace();
    opened.push(namespace);
    return namespace;
  };
  try {
    const [near, far] = [await open(), await open()];
    await connect(near, far);
    const shaper = await shapeDevice(near.setup, NEAR_DEVICE, wanted);
    await shapeDevice(far.setup, FAR_DEVICE, wanted);
    const link = shaper === "netem" ? wanted : { ...wanted, delayMs: 0 };
    return { near: near.programs, far: far.programs, farAddress: FAR_ADDRESS, shaper, link, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function connect(near: NetworkNamespace, far: NetworkNamespace): Promise<void> {
  const peer = ["type", "veth", "peer", "name", FAR_DEVICE, "netns", far.pid];
  await runTool([...near.setup, "ip", "link", "add", NEAR_DEVICE, ...peer]);
  const ends = [
    [near.setup, NEAR_DEVICE, NEAR_ADDRESS],
    [far.setup, FAR_DEVICE, FAR_ADDRESS],
  ] as const;
  for (const [setup, device, address] of ends) {
    await runTool([...setup, "ip", "address", "add", `${address}/30`, "dev", device]);
    // As on a cable: each packet goes alone, and is counted with its headers.
    await runTool([...setup, "ip", "link", "set", "dev", device, "gso_max_segs", "1"]);
    await runTool([...setup, "ip", "link", "set", device, "up"]);
    await runTool([...setup, "ip", "link", "set", "lo", "up"]);
  }
}
