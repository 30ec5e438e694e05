import type { FlowspecSizes } from "./flowspec.ts";

/** Milliseconds that a stage takes for a segment of `nodes`; sorted by `nodes`, at least one entry. */
export type SegmentCosts = readonly { readonly nodes: number; readonly ms: number }[];

/**
 * Chance that the drafter's candidate of this rank is the target's token, by depth, given that its parent
 * was right: differences of the top-1/2/4/8 hit rates of the default model's draft head on held-out text.
 */
const HIT_RATES: readonly (readonly number[])[] = [
  [0.445, 0.109, 0.055, 0.055, 0.021, 0.021],
  [0.344, 0.102, 0.047, 0.047, 0.022, 0.022],
  [0.273, 0.091, 0.05, 0.05, 0.022, 0.022],
  [0.22, 0.095, 0.048, 0.048, 0.023, 0.023],
  [0.16, 0.09, 0.049, 0.049, 0.023, 0.023],
];

/**
 * Path probability below which a node costs more than it brings, for stages that share their cores with
 * what they compete against; where a stage would else be idle, proportionally less is enough.
 */
const MIN_PROBABILITY = 0.2;
/** Candidates a node: the first few ranks hold nearly all that is above the least probability. */
const TOP_K = 4;
const MAX_SEGMENT_NODES = 32;
/** Paths fainter than this are left out of the sums. */
const FAINT = 0.01;

/**
 * Sizes of FlowSpec for a device with these costs: the segment length n that maximises the expected
 * accepted nodes per cost, Σp / (share·t(1) + t(n) − t(1)), over the tree that the drafter is expected to
 * give. `share` says how much of a segment's fixed cost counts: 1 where stages share cores (a segment's
 * whole cost is taken from the others), about 0.25 where each has its own device and would else be idle.
 */
export function fitFlowspec(costs: SegmentCosts, share: number): FlowspecSizes {
  const profile = expectedProbabilities();
  const first = segmentMs(costs, 1);
  let best = { nodes: 1, value: 0 };
  let sum = 0;
  for (let nodes = 1; nodes <= Math.min(profile.length, MAX_SEGMENT_NODES); nodes++) {
    sum += profile[nodes - 1]!;
    const value = sum / (share * first + Math.max(0, segmentMs(costs, nodes) - first));
    if (value > best.value) best = { nodes, value };
  }
  const minProbability = MIN_PROBABILITY * share;
  const worthwhile = profile.filter((p) => p >= minProbability).length;
  const size = {
    topK: TOP_K,
    depth: worthwhileLevels(minProbability),
    total: 2 * Math.max(worthwhile, best.nodes),
  };
  return {
    initial: size,
    expansion: size,
    segmentNodes: best.nodes,
    appendedNodes: best.nodes,
    restart: "send",
    minProbability,
  };
}

/** Cost of a segment by linear interpolation in the table, and beyond it by its last slope. */
export function segmentMs(costs: SegmentCosts, nodes: number): number {
  const upper = costs.findIndex((entry) => entry.nodes >= nodes);
  if (upper === 0 || costs.length === 1) return costs[0]!.ms;
  const right = upper < 0 ? costs.length - 1 : upper;
  const a = costs[right - 1]!;
  const b = costs[right]!;
  return a.ms + ((b.ms - a.ms) * (nodes - a.nodes)) / (b.nodes - a.nodes);
}

/** Levels at which the best path is still expected to be worth its cost; at least one. */
function worthwhileLevels(minProbability: number): number {
  let best = 1;
  const levels = HIT_RATES.findIndex(([first = 0]) => {
    best *= first;
    return best < minProbability;
  });
  return Math.max(1, levels < 0 ? HIT_RATES.length : levels);
}

/** Path probabilities of the root (1) and of the nodes below it, greatest first. */
function expectedProbabilities(): number[] {
  const all = [1];
  let level = [1];
  for (const rates of HIT_RATES) {
    level = level.flatMap((p) => rates.map((rate) => p * rate)).filter((p) => p >= FAINT);
    all.push(...level);
  }
  return all.sort((a, b) => b - a);
}
