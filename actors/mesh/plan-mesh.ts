import { segmentMs } from "../../decoding/costs.ts";
import { type PlanSlot, planLayers } from "./plan-layers.ts";
import type { HostRecord, LayerPin, MeshRecord, ModelRecord, Plan } from "./records.ts";

/** Segments as the default policy mostly sends them. */
const USUAL_SEGMENT_NODES = 4;
/** Weights grow a little when they are compiled for the runtime. */
const COMPILED_GROWTH = 1.25;
/** Of a stage's process, beside weights. */
const PROCESS_BYTES = 160 * 2 ** 20;
/** Of a host that did not measure itself: all such hosts are taken to be equally fast. */
const UNKNOWN_LAYER_MS = 1;

export type PlanResult =
  | { readonly plan: Plan; readonly slowestMs: number }
  /** Why there is none, in words for a person. */
  | { readonly short: string };

/** Which host runs what, with these hosts; all of them are alive and want to be used. */
export function planMesh(mesh: MeshRecord, hosts: readonly HostRecord[]): PlanResult {
  const { model, pins } = mesh;
  const workers = hosts.filter(({ slots }) => slots > 0);
  const helper = hosts.find(({ control }) => control) ?? fastest(hosts);
  if (helper === undefined || workers.length === 0)
    return { short: "no host is there to run the model's layers" };
  const slots = workers.flatMap(slotsOf);
  const wanted = missingLabel(pins, workers);
  if (wanted !== undefined) return { short: wanted };
  const found = planLayers(inMemory(model), slots, pins);
  if (found === undefined) return { short: describeShortage(model, workers) };
  const stages = found.ranges.map(({ slot, firstLayer, endLayer }) => ({
    host: slots[slot]?.host ?? "",
    firstLayer,
    endLayer,
  }));
  const sharing = workers.filter((host) => stages.filter(({ host: at }) => at === host.name).length > 1);
  const drafting = hosts.filter(mayDraft);
  const drafter = drafting.includes(helper) ? helper : fastest(drafting);
  const plan: Plan = {
    stages,
    tree: helper.name,
    sharesCores: sharing.some(({ sharesCores }) => sharesCores),
    ...(model.drafter !== undefined && drafter !== undefined && { drafter: drafter.name }),
  };
  return { plan, slowestMs: found.slowestMs };
}

/** How long the slowest stage of a plan takes with what its hosts have measured by now. */
export function slowestStageMs(mesh: MeshRecord, plan: Plan, hosts: readonly HostRecord[]): number {
  const { layers, headLayers } = mesh.model;
  const times = plan.stages.map(({ host: name, firstLayer, endLayer }) => {
    const host = hosts.find((candidate) => candidate.name === name);
    if (host === undefined) return Number.POSITIVE_INFINITY;
    const { layerMs, delayMs } = speedOf(host);
    return (endLayer - firstLayer + (endLayer === layers ? headLayers : 0)) * layerMs + delayMs;
  });
  return Math.max(...times);
}

function speedOf({ layerMs, rttMs }: HostRecord) {
  return {
    layerMs: layerMs === undefined ? UNKNOWN_LAYER_MS : segmentMs(layerMs, USUAL_SEGMENT_NODES),
    // In by half a round trip to the server, and out by the other half.
    delayMs: rttMs,
  };
}

function slotsOf(host: HostRecord): PlanSlot[] {
  const bytesMax = host.memoryBytes / host.slots - PROCESS_BYTES;
  const slot: PlanSlot = { host: host.name, ...speedOf(host), bytesMax, labels: host.labels };
  return Array.from({ length: host.slots }, () => slot);
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

function fastest(hosts: readonly HostRecord[]): HostRecord | undefined {
  return hosts.toSorted((a, b) => speedOf(a).layerMs - speedOf(b).layerMs)[0];
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
