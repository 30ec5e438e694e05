import { partitionLayers } from "../../models/partition.ts";
import type { LayerPin } from "./records.ts";

/** One place for a stage; a host may have several. */
export interface PlanSlot {
  readonly host: string;
  /** Of one layer, for a segment of the usual size. */
  readonly layerMs: number;
  /** What a hop to this host and on costs. */
  readonly delayMs: number;
  /** For weights. */
  readonly bytesMax: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface PlanModel {
  readonly layers: number;
  /** Work of the final norm and LM head, in layers. */
  readonly headLayers: number;
  readonly layerBytes: number;
  readonly embeddingBytes: number;
  readonly headBytes: number;
}

export interface LayerRange {
  /** Index of the slot. */
  readonly slot: number;
  readonly firstLayer: number;
  readonly endLayer: number;
}

export interface LayerPlan {
  /** In pipeline order. */
  readonly ranges: readonly LayerRange[];
  /** Time of the slowest stage, its hop included. */
  readonly slowestMs: number;
}

/** Sets of slots up to this number are tried all; of more slots, orders by speed. */
const EXACT_SLOTS_MAX = 12;

/**
 * Contiguous layer ranges such that the slowest stage, its hop included, is as fast as can be. A slot may
 * stay unused; of equally fast plans, one with the fewest stages. Undefined when no plan fits the slots'
 * memory and the pins.
 *
 * For a bound on the slowest stage, how far a set of slots can reach from layer 0 is a dynamic program over
 * sets: reaching further is never worse, since a range can always begin later. The least bound that some
 * set reaches the end with is found by bisection of the finitely many stage times that there can be.
 */
export function planLayers(
  model: PlanModel,
  slots: readonly PlanSlot[],
  pins: readonly LayerPin[] = [],
): LayerPlan | undefined {
  const bounds = stageTimes(model, slots);
  const search = slots.length <= EXACT_SLOTS_MAX ? reachBySets : reachByOrders;
  const reach = (boundMs: number) => search({ model, slots, pins, boundMs });
  let [low, high] = [0, bounds.length - 1];
  let best: readonly LayerRange[] | undefined;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const found = reach(bounds[middle] ?? 0);
    if (found === undefined) low = middle + 1;
    else {
      best = found;
      high = middle - 1;
    }
  }
  if (best === undefined) return undefined;
  const ranges = evened(model, slots, pins, best);
  return { ranges, slowestMs: slowest(model, slots, ranges) };
}

interface Search {
  readonly model: PlanModel;
  readonly slots: readonly PlanSlot[];
  readonly pins: readonly LayerPin[];
  readonly boundMs: number;
}

export function stageMs(model: PlanModel, slot: PlanSlot, firstLayer: number, endLayer: number): number {
  const head = endLayer === model.layers ? model.headLayers : 0;
  return (endLayer - firstLayer + head) * slot.layerMs + slot.delayMs;
}

function slowest(model: PlanModel, slots: readonly PlanSlot[], ranges: readonly LayerRange[]): number {
  return Math.max(
    ...ranges.map(({ slot, firstLayer, endLayer }) => {
      const at = slots[slot];
      return at === undefined ? Number.POSITIVE_INFINITY : stageMs(model, at, firstLayer, endLayer);
    }),
  );
}

function stageTimes(model: PlanModel, slots: readonly PlanSlot[]): number[] {
  const times = new Set<number>();
  for (const slot of slots) {
    for (let layers = 1; layers <= model.layers; layers++) {
      times.add(stageMs(model, slot, model.layers - layers, model.layers));
      times.add(stageMs({ ...model, headLayers: 0 }, slot, model.layers - layers, model.layers));
    }
  }
  return [...times].sort((a, b) => a - b);
}

function fits(
  { model, pins, boundMs }: Search,
  slot: PlanSlot,
  firstLayer: number,
  endLayer: number,
): boolean {
  const embedding = firstLayer === 0 ? model.embeddingBytes : 0;
  const head = endLayer === model.layers ? model.headBytes : 0;
  if ((endLayer - firstLayer) * model.layerBytes + embedding + head > slot.bytesMax) return false;
  if (stageMs(model, slot, firstLayer, endLayer) > boundMs) return false;
  return pins.every((pin) => {
    const touched = Math.max(pin.firstLayer, firstLayer) < Math.min(pin.endLayer, endLayer);
    return !touched || slot.labels[pin.label] === pin.value;
  });
}

/** The furthest end of a range of the slot from `firstLayer` on; `firstLayer` when it can't take one layer. */
function furthest(search: Search, slot: PlanSlot, firstLayer: number): number {
  for (let end = search.model.layers; end > firstLayer; end--) {
    if (fits(search, slot, firstLayer, end)) return end;
  }
  return firstLayer;
}

function reachBySets(search: Search): LayerRange[] | undefined {
  const { model, slots } = search;
  const sets = 1 << slots.length;
  const reached = new Int32Array(sets);
  const last = new Int32Array(sets).fill(-1);
  let best: number | undefined;
  for (let set = 1; set < sets; set++) {
    for (const [index, slot] of slots.entries()) {
      if ((set & (1 << index)) === 0) continue;
      const before = reached[set ^ (1 << index)] ?? 0;
      const end = furthest(search, slot, before);
      if (last[set] === -1 || end > (reached[set] ?? 0)) {
        reached[set] = end;
        last[set] = index;
      }
    }
    if (reached[set] === model.layers && (best === undefined || size(set) < size(best))) best = set;
  }
  if (best === undefined) return undefined;
  const order: number[] = [];
  for (let set = best; set !== 0; ) {
    const index = last[set] ?? -1;
    order.unshift(index);
    set ^= 1 << index;
  }
  return inOrder(search, order);
}

function size(set: number): number {
  let count = 0;
  for (let rest = set; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** The fastest first, with each slot in turn as the last one. */
function reachByOrders(search: Search): LayerRange[] | undefined {
  const bySpeed = search.slots
    .map((_, index) => index)
    .sort((a, b) => (search.slots[a]?.layerMs ?? 0) - (search.slots[b]?.layerMs ?? 0));
  let best: LayerRange[] | undefined;
  for (const index of bySpeed) {
    const found = inOrder(search, [...bySpeed.filter((other) => other !== index), index]);
    if (found !== undefined && (best === undefined || found.length < best.length)) best = found;
  }
  return best;
}

function inOrder(search: Search, order: readonly number[]): LayerRange[] | undefined {
  const ranges: LayerRange[] = [];
  let from = 0;
  for (const index of order) {
    const slot = search.slots[index];
    const end = slot === undefined ? from : furthest(search, slot, from);
    if (end > from) ranges.push({ slot: index, firstLayer: from, endLayer: end });
    from = end;
    if (from === search.model.layers) return ranges;
  }
  return undefined;
}

/** Stages that are all alike share the layers as evenly as can be, instead of filling one after the other. */
function evened(
  model: PlanModel,
  slots: readonly PlanSlot[],
  pins: readonly LayerPin[],
  ranges: readonly LayerRange[],
): readonly LayerRange[] {
  const used = ranges.map(({ slot }) => slots[slot]);
  const [first] = used;
  const alike = used.every((slot) => slot?.layerMs === first?.layerMs && slot?.delayMs === first?.delayMs);
  if (!alike) return ranges;
  const bounds = partitionLayers({
    layers: model.layers,
    stageCount: ranges.length,
    headLayerEquivalents: model.headLayers,
  });
  const even = ranges.map(({ slot }, k) => ({
    slot,
    firstLayer: bounds[k] ?? 0,
    endLayer: bounds[k + 1] ?? 0,
  }));
  const search = { model, slots, pins, boundMs: slowest(model, slots, ranges) };
  const fit = even.every(({ slot, firstLayer, endLayer }) => {
    const at = slots[slot];
    return at !== undefined && fits(search, at, firstLayer, endLayer);
  });
  return fit ? even : ranges;
}
