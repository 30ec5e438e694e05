/**
 * The same model on more and more hosts of unequal speed: tokens a second where the planner places it, and
 * where each host has an equal share of the work. Both meshes run at the same time and answer in turn;
 * `--planned` leaves the second one out. Placements follow what is asked: each load is asked for a while before
 * it is measured.
 *
 *   bun test/integration/scaling-script.ts [--planned] [number of hosts …]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Plan } from "../../actors/mesh/records.ts";
import { formatSpread, spreadOf } from "../../bench/statistics.ts";
import { findMesh } from "../../cli/mesh-membership.ts";
import { partitionLayers } from "../../models/partition.ts";
import { HostMesh } from "./host-mesh.ts";
import { accessTo, stream } from "./mesh-nodes.ts";

/** Milliseconds that a layer takes each host for one token; slower than this machine under load. */
const LAYER_MS = [4, 8, 6, 12, 4, 10];
const LINK = { delayMs: 5, mbps: 150 };
const TOKENS = 24;
const REPEATS = 3;
/** A coordinator takes up to 40 s to move layers for what is asked now. */
const ASKED_BEFORE_MS = 60_000;
const PROMPTS = [
  "Explain in detail how a bicycle works.",
  "Write a story about a lighthouse.",
  "How do I bake bread? List every step.",
  "Describe the water cycle at length.",
];

interface Load {
  readonly name: string;
  readonly policy: string;
  /** Requests at the same time. */
  readonly atOnce: number;
}
const LOADS: readonly Load[] = [
  { name: "one request, fullflow", policy: "fullflow", atOnce: 1 },
  { name: "four at once, autoregressive", policy: "autoregressive", atOnce: 4 },
];

interface Measure {
  readonly texts: readonly string[];
  readonly tokens: number;
  readonly ms: number;
}

/** All requests of a load, from their first texts to their last ones; ms is that of one request at a time. */
async function measure({ mesh }: HostMesh, { policy }: Load, prompts: readonly string[]): Promise<Measure> {
  const answers = await Promise.all(prompts.map((text) => stream(mesh, text, { maxTokens: TOKENS, policy })));
  const odd = answers.find(({ finish }) => finish !== "length");
  if (odd !== undefined) throw new Error(`an answer ended with ${odd.error ?? odd.finish}: ${odd.text}`);
  const rate = answers.reduce((sum, { decodeMs }) => sum + (TOKENS - 1) / decodeMs, 0);
  const tokens = (TOKENS - 1) * answers.length;
  return { texts: answers.map(({ text }) => text), tokens, ms: tokens / rate };
}

/** What a load asks, one round after the other. */
const roundsOf = ({ atOnce }: Load): string[][] =>
  Array.from({ length: PROMPTS.length / atOnce }, (_, k) => PROMPTS.slice(k * atOnce, (k + 1) * atOnce));

async function headLayersOf({ mesh }: HostMesh): Promise<{ layers: number; headLayers: number }> {
  const { nats, token, mesh: name } = accessTo(mesh);
  const door = await findMesh({ url: nats, ...(token !== undefined && { token }) }, name, "reads-model");
  await door.transport.close();
  return door.mesh.model;
}

const plannedOnly = process.argv.includes("--planned");
const caches = await mkdtemp(join(tmpdir(), "flowmesh-caches-"));

async function start(speeds: readonly number[], pins?: string): Promise<HostMesh> {
  const upArguments = pins === undefined ? [] : ["--pin", pins];
  const hosts = await HostMesh.open(LINK, { caches, sessions: 1, upArguments });
  try {
    for (const [index, layerMs] of speeds.entries()) {
      await hosts.join(`h${index}`, layerMs, "--labels", `host=h${index}`);
      // Alone it fills the cache for the others.
      if (index === 0 && pins === undefined) await hosts.settled(1);
    }
    return hosts;
  } catch (error) {
    await hosts.close();
    throw error;
  }
}

/** Waits until the placement has not changed for a while; gives it. */
async function rested(hosts: HostMesh, stages?: number): Promise<Plan | undefined> {
  let epoch = -1;
  for (;;) {
    const now = await hosts.settled(stages);
    if (now.epoch === epoch) return hosts.plan();
    epoch = now.epoch;
    await Bun.sleep(5000);
  }
}

async function compare(count: number): Promise<void> {
  const speeds = LAYER_MS.slice(0, count);
  const planned = await start(speeds);
  try {
    const { layers, headLayers } = await headLayersOf(planned);
    const bounds = partitionLayers({ layers, stageCount: count, headLayerEquivalents: headLayers });
    const pins = speeds.map((_, k) => `${bounds[k]}-${(bounds[k + 1] ?? 0) - 1}:host=h${k}`).join(",");
    const equal = count === 1 || plannedOnly ? undefined : await start(speeds, pins);
    try {
      await rested(planned);
      if (equal) tell(`${count} hosts, equal shares`, await rested(equal, count));
      for (const load of LOADS) {
        const untilMs = performance.now() + (count === 1 ? 0 : ASKED_BEFORE_MS);
        while (performance.now() < untilMs) {
          for (const prompts of roundsOf(load)) await measure(planned, load, prompts);
        }
        tell(`${count} hosts, ${load.name}, planned`, await rested(planned));
        await compareUnder(load, count, { planned, equal });
      }
    } finally {
      await equal?.close();
    }
  } finally {
    await planned.close();
  }
}

function tell(what: string, plan: Plan | undefined): void {
  const shown = (plan?.stages ?? []).map(
    ({ host, firstLayer, endLayer }) => `${host}:${firstLayer}-${endLayer - 1}`,
  );
  process.stderr.write(`${what}: ${shown.join(" ")}\n`);
}

interface Meshes {
  readonly planned: HostMesh;
  readonly equal: HostMesh | undefined;
}

async function compareUnder(load: Load, count: number, meshes: Meshes): Promise<void> {
  const pairs: Pair[] = [];
  for (const prompts of roundsOf(load)) {
    // The first is not counted: there caches are still cold.
    for (let repeat = 0; repeat <= REPEATS; repeat++) {
      const pair = await askBoth(load, prompts, meshes, repeat % 2 === 0);
      if (repeat > 0) pairs.push(pair);
    }
  }
  const rates = (measures: readonly (Measure | undefined)[]) =>
    show(
      measures.flatMap((one) => (one === undefined ? [] : [(1000 * one.tokens) / one.ms])),
      1,
    );
  const ratios = pairs.flatMap(({ planned, equal }) => (equal === undefined ? [] : [equal.ms / planned.ms]));
  const planned = rates(pairs.map((pair) => pair.planned));
  const equal = rates(pairs.map((pair) => pair.equal));
  console.log(`| ${count} | ${load.name} | ${planned} | ${equal} | ${show(ratios, 2)} |`);
}

interface Pair {
  readonly planned: Measure;
  readonly equal: Measure | undefined;
}

/** One after the other; who begins changes. */
async function askBoth(
  load: Load,
  prompts: readonly string[],
  meshes: Meshes,
  plannedFirst: boolean,
): Promise<Pair> {
  const ask = async (hosts: HostMesh | undefined) => hosts && (await measure(hosts, load, prompts));
  const early = plannedFirst ? undefined : await ask(meshes.equal);
  const planned = await measure(meshes.planned, load, prompts);
  const equal = early ?? (await ask(meshes.equal));
  if (equal !== undefined && equal.texts.join() !== planned.texts.join()) {
    throw new Error("the two meshes answer differently");
  }
  return { planned, equal };
}

const show = (values: readonly number[], digits: number) =>
  values.length === 0 ? "" : formatSpread(spreadOf(values), digits);

try {
  console.log("| hosts | load | planned, tokens/s | equal shares | ratio |\n| - | - | - | - | - |");
  const counts = process.argv
    .slice(2)
    .filter((argument) => argument !== "--planned")
    .map(Number);
  for (const count of counts.length === 0 ? [1, 2, 4, 6] : counts) await compare(count);
} finally {
  await rm(caches, { recursive: true, force: true });
}
