/**
 * Hosts join and leave under constant load; says what clients saw of it, and what memory the processes that
 * stay have taken:
 *
 *   bun test/integration/host-churn-script.ts [joins]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memoryOf } from "../../bench/mesh-inventory.ts";
import { spreadOf } from "../../bench/statistics.ts";
import { churn, smallModel } from "./host-churn.ts";
import { HostMesh } from "./host-mesh.ts";
import { processHere } from "./mesh-nodes.ts";

const LINK = { delayMs: 2, mbps: 150 };
const LAYER_MS = 4;
/** Joins until caches are filled. */
const WARM_SHARE = 0.2;
const TELL_EVERY = 10;

const joins = Number(process.argv[2] ?? 100);
const folder = await mkdtemp(join(tmpdir(), "flowmesh-churn-"));
const hosts = await HostMesh.open(LINK, { upArguments: ["--model", await smallModel(folder)] });
const samples: { joins: number; mib: number[] }[] = [];

/** By how much it grows in 100 joins, by least squares. */
function slope(points: readonly (readonly [joins: number, mib: number])[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(([at]) => at)), mean(points.map(([, mib]) => mib))];
  const covariance = mean(points.map(([at, mib]) => (at - x) * (mib - y)));
  return (100 * covariance) / mean(points.map(([at]) => (at - x) ** 2));
}

try {
  const first = await hosts.join("first", LAYER_MS);
  const { actors, hosts: records } = await hosts.settled(1);
  const pidOf = async (role: string) => {
    const actor = actors.find((candidate) => candidate.role === role);
    if (actor === undefined) throw new Error(`there is no ${role}`);
    return hosts.processOf(actor);
  };
  const own = records.find(({ name }) => name === "first")?.pid ?? 0;
  const staying = {
    "coordinator's host": hosts.mesh.pid,
    gateway: await pidOf("gateway"),
    "nats-server": await hosts.natsServer(),
    "first host": await processHere(first.pid, own),
    drafter: await pidOf("drafter"),
    "tree host": await pidOf("tree"),
  };
  const sample = (count: number) =>
    samples.push({ joins: count, mib: Object.values(staying).map((pid) => memoryOf(pid).residentMiB) });
  sample(0);
  const report = await churn(hosts, {
    joins,
    visitors: [
      ["v1", "v2"],
      ["w1", "w2"],
    ],
    ...{ layerMs: LAYER_MS, streams: 2, maxTokens: 32 },
    onLeave: (now) => {
      sample(now.drained + now.killed);
      process.stderr.write(
        `${now.joins} joins, ${now.drained} drained, ${now.killed} killed; ` +
          `${now.requests} requests, ${now.failures.length} failed, ${now.wrong} wrong\n`,
      );
    },
  });
  const pauses = spreadOf(report.pausesMs);
  const p99 = report.pausesMs.toSorted((a, b) => a - b)[Math.floor(0.99 * report.pausesMs.length)] ?? 0;
  console.log(hosts.description);
  console.log(
    `\n${report.joins} joins, ${report.drained} drains, ${report.killed} kills; ${report.requests} requests, ` +
      `${report.failures.length} failed, ${report.wrong} with another text; longest pause of a request: ` +
      `p50 ${(pauses.median / 1000).toFixed(2)} s, p99 ${(p99 / 1000).toFixed(2)} s`,
  );
  for (const failure of new Set(report.failures)) console.log(`failed: ${failure}`);
  const names = Object.keys(staying);
  console.log(`\n| MiB after … leaves | ${names.join(" | ")} |\n| ${"- | ".repeat(names.length + 1)}`);
  const shown = samples.filter((_, index) => index % TELL_EVERY === 0 || index === samples.length - 1);
  for (const { joins: at, mib } of shown) {
    console.log(`| ${at} | ${mib.map((value) => value.toFixed(0)).join(" | ")} |`);
  }
  const warm = samples.slice(Math.floor(WARM_SHARE * samples.length));
  const slopes = names.map((_, column) =>
    slope(warm.map(({ joins: at, mib }) => [at, mib[column] ?? Number.NaN])).toFixed(1),
  );
  console.log(`| growth in 100, after the first fifth | ${slopes.join(" | ")} |`);
} finally {
  await hosts.close();
  await rm(folder, { recursive: true, force: true });
}
