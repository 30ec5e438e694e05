import { connectNats } from "../../transport/nats.ts";
import type { FarTask } from "./end-tasks.ts";
import { listenTcp, transportChannel } from "./frame-channel.ts";
import { answerWithTimes } from "./hop-timing.ts";

/** The far end of the hop measurement, as a program: its task is the argument; says `ready` and its port. */
const task = JSON.parse(process.argv[2] ?? "null") as FarTask | null;
if (task === null) throw new Error("usage: far-end <task as JSON>");

async function meet(way: FarTask): Promise<number> {
  if (way.kind === "tcp") return listenTcp(way.host, answerWithTimes);
  const transport = await connectNats({ url: way.url, name: "bench-hop-far" });
  answerWithTimes(transportChannel(transport, "far"));
  await transport.flush();
  return 0;
}

console.log(`ready ${await meet(task)}`);
// Whoever started this keeps its standard input open as long as it is wanted.
await Bun.stdin.text();
process.exit(0);
