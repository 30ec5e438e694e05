import { LEVEL_TREE, LEVEL_TREE_LIMITS, levelTreeSize } from "./level-tree.ts";
import type { PolicyDefinition } from "./policy.ts";
import { StepwisePolicy } from "./stepwise.ts";

const PARAMETERS = {
  ...LEVEL_TREE,
  /** Greatest segment. */
  segment: 16,
};

/** FlowSpec's baseline of that name (algorithm A6): a tree is sent, verified and pruned, and not expanded. */
export const pruned: PolicyDefinition = {
  name: "pruned",
  summary:
    "one tree a round, best first in segments, verified and pruned step by step; a miss ends the round",
  parameters: PARAMETERS,
  limits: { ...LEVEL_TREE_LIMITS, segment: [1, 1024] },
  create(parameters) {
    const { segment } = { ...PARAMETERS, ...parameters };
    return new StepwisePolicy({
      name: "pruned",
      fresh: levelTreeSize(parameters),
      order: "score",
      segment,
      appended: segment,
      prunes: true,
    });
  },
};
