/**
 * How long it takes from `flowmesh node` on a machine to the first segment that its stage computes, in a mesh
 * that answers meanwhile; with and without weights and compiled stages in the machine's cache:
 *
 *   bun test/integration/first-segment-script.ts [times]
 */
import { parseJson, stageWorkSchema } from "../../actors/messages.ts";
import { formatSpread, spreadOf } from "../../bench/statistics.ts";
import { connectMesh } from "../../cli/connect-mesh.ts";
import { drain } from "../../cli/top.ts";
import { eventSubject } from "../../transport/subjects.ts";
import { HostMesh } from "./host-mesh.ts";
import { accessTo, stream } from "./mesh-nodes.ts";

const LINK = { delayMs: 2, mbps: 150 };
/** Of the host that is there: so slow that any other one is used. */
const LAYER_MS = 12;
const WAIT_MS = 120_000;

const times = Number(process.argv[2] ?? 5);
const hosts = await HostMesh.open(LINK);
const { mesh } = hosts;
const token = mesh.natsToken === undefined ? {} : { token: mesh.natsToken };
const listener = await connectMesh({ url: mesh.natsUrl, ...token }, { name: "listener" });

/** Only a host that joins reports its work. */
async function firstSegment(name: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const subscription = listener.subscribe(eventSubject(mesh.mesh, "work"), (message) =>
    resolve(parseJson(stageWorkSchema, message).beginMs),
  );
  const timer = setTimeout(() => reject(new Error(`${name} was not used in time`)), WAIT_MS);
  const begunMs = performance.timeOrigin + performance.now();
  const node = await hosts.join(name, undefined, "--report-work");
  try {
    return (await promise) - begunMs;
  } finally {
    clearTimeout(timer);
    subscription.unsubscribe();
    await drain(name, accessTo(mesh));
    await node.exited;
  }
}

let isOver = false;
try {
  await hosts.join("slow", LAYER_MS);
  await hosts.settled(1);
  const asking = (async () => {
    while (!isOver) await stream(mesh, "What is a pipeline?", { maxTokens: 48 });
  })();
  const [fresh, known]: [number[], number[]] = [[], []];
  for (let time = 0; time < times; time++) {
    fresh.push(await firstSegment(`n${time}`));
    known.push(await firstSegment(`n${time}`));
  }
  isOver = true;
  await asking;
  console.log(hosts.description);
  const show = (values: readonly number[]) => formatSpread(spreadOf(values.map((ms) => ms / 1000)), 1);
  console.log(
    `with an empty cache ${show(fresh)} s; when it comes back ${show(known)} s; ${times} times each`,
  );
} finally {
  isOver = true;
  await listener.close();
  await hosts.close();
}
