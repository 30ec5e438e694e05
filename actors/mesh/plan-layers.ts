import { partitionLayers } from "../../models/partition.ts";
import { cheapestRanges } from "./cheapest-ranges.ts";
import { type Demand, type PipelineTimes, tokenMs } from "./demand.ts";
import {
  fits,
  type LayerRange,
  type PlanHost,
  type PlanModel,
  pipelineTimes,
  stageMs,
} from "./plan-parts.ts";
import type { LayerPin } from "./records.ts";

export interface LayerPlan extends PipelineTimes {
  /** In pipeline order. */
  readonly ranges: readonly LayerRange[];
  /** Predicted time per token of all sessions together, see `tokenMs`. */
  readonly tokenMs: number;
}

/** Two predictions closer than this are the same: sums in another order. */
const SAME = 1e-9;

/**
 * Contiguous layer ranges for which `tokenMs` predicts the fewest milliseconds for a token. Hosts may stay
 * unused; of equal plans, one whose slowest stage is fastest. Undefined when no plan fits the hosts' memory
 * and the pins.
 *
 * The prediction grows with the slowest stage's time and with the loop's. So for each bound on the slowest
 * stage, of which there are finitely many, the plan with the shortest loop is all that has to be looked at;
 * that one is found by dynamic programming (cheapest-ranges.ts). A looser bound never makes the loop longer;
 * so between two bounds with equal loops nothing is better than the lower one, and between any two nothing
 * is better than the lower one's slowest stage with the upper one's loop: most bounds need not be tried.
 */
export function planLayers(
  model: PlanModel,
  hosts: readonly PlanHost[],
  demand: Demand,
  pins: readonly LayerPin[] = [],
): LayerPlan | undefined {
  const bounds = stageTimes(model, hosts);
  const known = new Map<number, LayerPlan | undefined>();
  let best: LayerPlan | undefined;
  const at = (index: number): LayerPlan | undefined => {
    if (known.has(index)) return known.get(index);
    const ranges = cheapestRanges(model, hosts, pins, bounds[index] ?? 0);
    const found = ranges && weigh(model, hosts, ranges, demand);
    known.set(index, found);
    if (found !== undefined && (best === undefined || isBetter(found, best))) best = found;
    return found;
  };
  const between = (low: number, high: number): void => {
    const [tight, loose] = [at(low), at(high)];
    if (best === undefined || loose === undefined || high - low < 2) return;
    if (tight !== undefined && tight.loopMs <= loose.loopMs * (1 + SAME)) return;
    const hoped = { slotMs: bounds[low + 1] ?? 0, loopMs: loose.loopMs };
    if (tokenMs(hoped, demand) > best.tokenMs * (1 + SAME)) return;
    const middle = (low + high) >> 1;
    between(low, middle);
    between(middle, high);
  };
  if (bounds.length > 0) between(0, bounds.length - 1);
  if (best === undefined) return undefined;
  const evened = evenedRanges(model, hosts, pins, best);
  return evened === undefined ? best : weigh(model, hosts, evened, demand);
}

function isBetter(a: LayerPlan, b: LayerPlan): boolean {
  if (a.tokenMs < b.tokenMs * (1 - SAME)) return true;
  return a.tokenMs <= b.tokenMs * (1 + SAME) && a.slotMs < b.slotMs * (1 - SAME);
}

function weigh(
  model: PlanModel,
  hosts: readonly PlanHost[],
  ranges: readonly LayerRange[],
  demand: Demand,
): LayerPlan {
  const times = pipelineTimes(model, hosts, ranges);
  return { ranges, ...times, tokenMs: tokenMs(times, demand) };
}

/** All that a stage may take, rising. */
function stageTimes(model: PlanModel, hosts: readonly PlanHost[]): number[] {
  const times = new Set<number>();
  for (const host of hosts) {
    for (let layers = 1; layers <= model.layers; layers++) {
      times.add(stageMs(model, host, model.layers - layers, model.layers));
      times.add(stageMs({ ...model, headLayers: 0 }, host, model.layers - layers, model.layers));
    }
  }
  return [...times].sort((a, b) => a - b);
}

/** Stages that are all alike share the layers as evenly as can be; undefined where they are not, or may not. */
function evenedRanges(
  model: PlanModel,
  hosts: readonly PlanHost[],
  pins: readonly LayerPin[],
  { ranges, slotMs }: LayerPlan,
): readonly LayerRange[] | undefined {
  const used = ranges.map(({ host }) => hosts[host]);
  const [first] = used;
  if (used.some((host) => host?.layerMs !== first?.layerMs || host?.delayMs !== first?.delayMs)) {
    return undefined;
  }
  const bounds = partitionLayers({
    layers: model.layers,
    stageCount: ranges.length,
    headLayerEquivalents: model.headLayers,
  });
  const even = ranges.map(({ host }, k) => ({
    host,
    firstLayer: bounds[k] ?? 0,
    endLayer: bounds[k + 1] ?? 0,
  }));
  const limits = { model, pins, boundMs: slotMs * (1 + SAME) };
  const fit = even.every(({ host, firstLayer, endLayer }) => {
    const at = hosts[host];
    return at !== undefined && fits(limits, at, firstLayer, endLayer);
  });
  return fit ? even : undefined;
}
