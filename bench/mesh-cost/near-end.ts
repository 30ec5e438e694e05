import { systemClock } from "../../actors/runtime/clock.ts";
import { encodeSegment } from "../../transport/frame.ts";
import { connectNats } from "../../transport/nats.ts";
import { shapeLink } from "../../transport/shaped-link.ts";
import { type ByteCounter, countingRelay, deviceCounter } from "./byte-counter.ts";
import type { NearResult, NearTask } from "./end-tasks.ts";
import { connectTcp, type FrameChannel, memoryChannels, transportChannel } from "./frame-channel.ts";
import { answerWithTimes, HopTimer, segmentOf } from "./hop-timing.ts";

/** The near end of the hop measurement, as a program: its task is the argument, its results the output. */
const task = JSON.parse(process.argv[2] ?? "null") as NearTask | null;
if (task === null) throw new Error("usage: near-end <task as JSON>");

interface Ways {
  readonly channel: FrameChannel;
  /** For segments, where they go by another one. */
  readonly shaped?: FrameChannel;
  readonly counter?: ByteCounter;
}

async function meet({ meeting, link, countsBytes, device }: NearTask): Promise<Ways> {
  const own = device === undefined ? {} : { counter: deviceCounter(device) };
  if (meeting.kind === "memory") {
    const { near, far } = memoryChannels();
    answerWithTimes(far);
    return { channel: near };
  }
  const { hostname, port } =
    meeting.kind === "nats" ? new URL(meeting.url) : { ...meeting, hostname: meeting.host };
  const relay = countsBytes ? await countingRelay(hostname, Number(port)) : undefined;
  const host = relay === undefined ? hostname : "127.0.0.1";
  const at = relay?.port ?? Number(port);
  const counter = relay === undefined ? own : { counter: relay };
  if (meeting.kind === "tcp") return { channel: await connectTcp(host, at), ...counter };
  const transport = await connectNats({ url: `nats://${host}:${at}`, name: "bench-hop-near" });
  const channel = transportChannel(transport, "near");
  await transport.flush();
  if (link === undefined) return { channel, ...counter };
  const shaped = transportChannel(shapeLink(transport, { link, clock: systemClock }), "near");
  return { channel, shaped, ...counter };
}

/** Rounds before those that count: the first ones warm up code and connection. */
const warmUpOf = (rounds: number) => Math.ceil(rounds / 10);

async function measure(
  timer: HopTimer,
  nodes: number,
  { rounds, width, burst }: NearTask,
  counter?: ByteCounter,
) {
  const frame = segmentOf(nodes, width);
  const frames = Array.from({ length: burst }, () => frame);
  for (let round = 0; round < warmUpOf(rounds); round++) await timer.burst(frames);
  const countedBefore = counter?.read() ?? 0;
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) times.push((await timer.burst(frames)).at(-1) ?? Number.NaN);
  const counted = counter && { countedBytes: (counter.read() - countedBefore) / (rounds * burst) };
  const frameBytes = encodeSegment(frame, "f32").body.length;
  const result: NearResult = { nodes, frameBytes, times: times.sort((a, b) => a - b), ...counted };
  return result;
}

// Whoever started this is gone when its standard input ends.
void Bun.stdin.text().then(() => process.exit(1));
const { channel, shaped, counter } = await meet(task);
const timer = new HopTimer(channel, shaped);
await timer.synchronise();
const results: NearResult[] = [];
for (const nodes of task.sizes) results.push(await measure(timer, nodes, task, counter));
console.log(JSON.stringify(results));
await channel.close();
process.exit(0);
