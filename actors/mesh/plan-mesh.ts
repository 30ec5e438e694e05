import { segmentMs } from "../../decoding/costs.ts";
import { type Demand, tokenMs } from "./demand.ts";
import { planLayers } from "./plan-layers.ts";
import { type PlanHost, pipelineTimes } from "./plan-parts.ts";
import type { HostRecord, LayerPin, MeshRecord, ModelRecord, Plan } from "./records.ts";

/** Weights grow a little when they are compiled for the runtime. */
const COMPILED_GROWTH = 1.25;
/** Of a stage's process, beside weights. */
const PROCESS_BYTES = 160 * 2 ** 20;
/** Of a host that did not measure itself: all such hosts are taken to be equally fast. */
const UNKNOWN_LAYER_MS = 1;

export type PlanResult =
  | { readonly plan: Plan; readonly tokenMs: number }
  /** Why there is none, in words for a person. */
  | { readonly short: string };

/** Which host runs what for that demand, with these hosts; all of them are alive and want to be used. */
export function planMesh(mesh: MeshRecord, hosts: readonly HostRecord[], demand: Demand): PlanResult {
  const { model, pins } = mesh;
  const workers = hosts.filter(({ slots }) => slots > 0);
  const helper = hosts.find(({ control }) => control) ?? fastest(hosts, demand);
  if (helper === undefined || workers.length === 0)
    return { short: "no host is there to run the model's layers" };
  const places = workers.map((host) => placeOf(host, demand));
  const wanted = missingLabel(pins, workers);
  if (wanted !== undefined) return { short: wanted };
  const found = planLayers(inMemory(model), places, demand, pins);
  if (found === undefined) return { short: describeShortage(model, workers) };
  const stages = found.ranges.map(({ host, firstLayer, endLayer }) => ({
    host: places[host]?.name ?? "",
    firstLayer,
    endLayer,
  }));
  const sharing = workers.filter((host) => stages.filter(({ host: at }) => at === host.name).length > 1);
  const drafting = hosts.filter(mayDraft);
  const drafter = drafting.includes(helper) ? helper : fastest(drafting, demand);
  const plan: Plan = {
    stages,
    tree: helper.name,
    sharesCores: sharing.some(({ sharesCores }) => sharesCores),
    ...(model.drafter !== undefined && drafter !== undefined && { drafter: drafter.name }),
  };
  return { plan, tokenMs: found.tokenMs };
}

/**
 * What is predicted of a plan with what its hosts have measured by now, see `tokenMs`; infinite when one of
 * them is gone.
 */
export function planTokenMs(
  { model }: MeshRecord,
  { stages }: Plan,
  hosts: readonly HostRecord[],
  demand: Demand,
): number {
  const names = hosts.map(({ name }) => name);
  const ranges = stages.map((stage) => ({ ...stage, host: names.indexOf(stage.host) }));
  if (ranges.some(({ host }) => host < 0)) return Number.POSITIVE_INFINITY;
  const places = hosts.map((host) => placeOf(host, demand));
  return tokenMs(pipelineTimes(model, places, ranges), demand);
}

const layerTime = ({ layerMs }: HostRecord, { segmentNodes }: Demand): number =>
  layerMs === undefined ? UNKNOWN_LAYER_MS : segmentMs(layerMs, segmentNodes);

function placeOf(host: HostRecord, demand: Demand): PlanHost {
  const { name, slots, labels, rttMs, memoryBytes } = host;
  return {
    ...{ name, slots, labels },
    layerMs: layerTime(host, demand),
    // In by half a round trip to the server, and out by the other half.
    delayMs: rttMs,
    bytesMax: memoryBytes / slots - PROCESS_BYTES,
  };
}

function inMemory({ layers, headLayers, layerBytes, embeddingBytes, headBytes }: ModelRecord) {
  return {
    layers,
    headLayers,
    layerBytes: layerBytes * COMPILED_GROWTH,
    embeddingBytes: embeddingBytes * COMPILED_GROWTH,
    headBytes: headBytes * COMPILED_GROWTH,
  };
}

/** What a host must have free to run a single layer of the model. */
export const leastBytes = (model: ModelRecord): number => PROCESS_BYTES + model.layerBytes * COMPILED_GROWTH;

/** A host on which nothing but drafting has failed may still run everything else. */
export const mayDraft = ({ failed }: HostRecord): boolean => failed.every(({ role }) => role !== "drafter");
export const mayRun = ({ failed }: HostRecord): boolean => failed.every(({ role }) => role === "drafter");

function fastest(hosts: readonly HostRecord[], demand: Demand): HostRecord | undefined {
  return hosts.toSorted((a, b) => layerTime(a, demand) - layerTime(b, demand))[0];
}

function missingLabel(pins: readonly LayerPin[], hosts: readonly HostRecord[]): string | undefined {
  const pin = pins.find(({ label, value }) => !hosts.some(({ labels }) => labels[label] === value));
  if (pin === undefined) return undefined;
  return `layers ${pin.firstLayer}-${pin.endLayer - 1} are pinned to ${pin.label}=${pin.value}, and no host has that label`;
}

function describeShortage(model: ModelRecord, hosts: readonly HostRecord[]): string {
  const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
  const { layers, layerBytes, embeddingBytes, headBytes } = model;
  const needed = (layers * layerBytes + embeddingBytes + headBytes) * COMPILED_GROWTH;
  const there = hosts.map(({ name, memoryBytes }) => `${name} ${mib(memoryBytes)} MiB`).join(", ");
  return (
    `${model.id} needs ${mib(needed)} MiB for its weights and ${mib(PROCESS_BYTES)} MiB for each stage, ` +
    `and the hosts that may run it have not got the room: ${there}`
  );
}

/** Measurements and demand change all the time; a plan is not made anew for that more often than this. */
const MEASURED_EVERY_MS = 2000;

/** What a coordinator asks several times a second: plans anew only when something has changed that a plan depends on. */
export class Planner {
  readonly #mesh: MeshRecord;
  #last:
    | { readonly hosts: string; readonly measured: string; readonly atMs: number; result: PlanResult }
    | undefined;

  constructor(mesh: MeshRecord) {
    this.#mesh = mesh;
  }

  plan(hosts: readonly HostRecord[], demand: Demand, nowMs: number): PlanResult {
    const known = hosts.map(({ actors: _, prepared: __, layerMs: ___, rttMs: ____, ...facts }) => facts);
    const now = {
      hosts: JSON.stringify(known),
      measured: JSON.stringify([demand, hosts.map((host) => [host.layerMs, host.rttMs])]),
      atMs: nowMs,
    };
    const last = this.#last;
    if (last?.hosts === now.hosts) {
      if (last.measured === now.measured || nowMs - last.atMs < MEASURED_EVERY_MS) return last.result;
    }
    const result = planMesh(this.#mesh, hosts, demand);
    this.#last = { ...now, result };
    return result;
  }
}
