import { quantile } from "../statistics.ts";
import type { FarTask, Meeting, NearTask } from "./end-tasks.ts";
import { runNearEnd, startFarEnd } from "./ends.ts";
import type { ChannelKind } from "./frame-channel.ts";
import { ONE_MACHINE, type Place, startNats } from "./places.ts";

/** What a segment of some nodes costs from one stage to the next, outside the model. */
export interface HopCost {
  readonly way: ChannelKind;
  readonly nodes: number;
  readonly frameBytes: number;
  /**
   * What was sent for it: on one machine into the connection, between two with the headers of TCP, IP and
   * Ethernet; absent in memory.
   */
  readonly wireBytes?: number;
  /** Encode, the way, decode. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface HopPlan {
  /** Nodes a segment, and elements of a row. */
  readonly sizes: readonly number[];
  readonly width: number;
  readonly rounds: number;
  /** The nats-server program. */
  readonly natsServer: string;
}

/** Enough to see the size of a message, which is always the same. */
const COUNTED_ROUNDS = 10;

/** Over a plain TCP connection and over NATS, and on one machine also in memory. */
export async function measureHops(place: Place, plan: HopPlan): Promise<HopCost[]> {
  const memory = place === ONE_MACHINE ? await measureWay(place, plan, { kind: "memory" }) : [];
  const tcp = await withFarEnd(place, { kind: "tcp", host: place.farHost }, (meeting) =>
    measureWay(place, plan, meeting),
  );
  const nats = await withNats(place, plan.natsServer, (meeting) => measureWay(place, plan, meeting));
  return [...memory, ...tcp, ...nats];
}

/** Runs a far end as long as `use` takes. */
async function withFarEnd<T>(place: Place, task: FarTask, use: (meeting: Meeting) => Promise<T>): Promise<T> {
  const far = await startFarEnd(place.far, task);
  try {
    return await use(task.kind === "tcp" ? { ...task, port: far.port } : task);
  } finally {
    await far.stop();
  }
}

/** The same, with a nats-server beside the far end. */
export async function withNats<T>(
  place: Place,
  natsServer: string,
  use: (meeting: Meeting) => Promise<T>,
): Promise<T> {
  const server = await startNats(place, natsServer);
  try {
    return await withFarEnd(place, { kind: "nats", url: server.url }, use);
  } finally {
    await server.stop();
  }
}

async function measureWay(
  { near, device }: Place,
  { sizes, width, rounds }: HopPlan,
  meeting: NearTask["meeting"],
): Promise<HopCost[]> {
  const task = { meeting, sizes, width, rounds, burst: 1, ...(device !== undefined && { device }) };
  const timed = await runNearEnd(near, task);
  // Counting inside the connection slows it down, so it has rounds of its own.
  const counts = device === undefined && meeting.kind !== "memory";
  const counted = counts
    ? await runNearEnd(near, { ...task, rounds: COUNTED_ROUNDS, countsBytes: true })
    : timed;
  return timed.map(({ nodes, frameBytes, times }, index) => {
    const wireBytes = counted[index]?.countedBytes;
    const [p50Ms, p99Ms] = [quantile(times, 0.5), quantile(times, 0.99)];
    return {
      way: meeting.kind,
      nodes,
      frameBytes,
      ...(wireBytes !== undefined && { wireBytes }),
      p50Ms,
      p99Ms,
    };
  });
}
