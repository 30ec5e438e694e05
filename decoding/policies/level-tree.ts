import type { DraftSize, ParameterLimits } from "./policy.ts";

/** The draft tree that EAGLE-2 grows, with the reference's sizes for a fresh one (algorithm A2, table). */
export const LEVEL_TREE = {
  /** Nodes below the root. */
  total: 80,
  /** Candidates a node, and nodes of each level that are deepened. */
  topK: 10,
  /** Levels below the first. */
  depth: 6,
  /** At temperature > 0: 1 ranks by the noise that the target will add, too; 0 does not. */
  coupled: 1,
};

export const LEVEL_TREE_LIMITS: ParameterLimits = {
  total: [1, 1024],
  topK: [1, 64],
  depth: [0, 64],
  coupled: [0, 1],
};

export function levelTreeSize(parameters: Readonly<Record<string, number>>): DraftSize {
  const { total, topK, depth, coupled } = { ...LEVEL_TREE, ...parameters };
  return { growth: "level", topK, batch: topK, depth, total, minProbability: 0, coupled: coupled !== 0 };
}
