import { LEVEL_TREE, LEVEL_TREE_LIMITS, levelTreeSize } from "./level-tree.ts";
import type { PolicyDefinition } from "./policy.ts";
import { StepwisePolicy } from "./stepwise.ts";

/** The reference's evaluation settings (algorithm A2, table; its names in A2's last rows). */
const PARAMETERS = {
  ...LEVEL_TREE,
  /** Nodes of the tree asked for whenever the root moved to a known node. */
  expandTotal: 64,
  /** Greatest segment of a fresh tree. */
  segment: 16,
  /** Greatest later segment; 0 sends all that waits. */
  appended: 0,
};

export const flowspec = variant(
  "flowspec",
  "FlowSpec (arXiv 2507.02620), with the sizes of its reference implementation, made for wide devices",
  {},
);

/** FlowSpec without one of its parts each, to see what that part is worth. */
export const flowspecUnsorted = variant(
  "flowspec-unsorted",
  "FlowSpec whose segments are cut level by level instead of by score",
  { order: "breadth" },
);

export const flowspecUnpruned = variant(
  "flowspec-unpruned",
  "FlowSpec whose stages compute what is under way although it has died",
  { prunes: false },
);

export const flowspecUnexpanded = variant(
  "flowspec-unexpanded",
  "FlowSpec whose tree only shrinks, until a miss brings a fresh one",
  { expands: false },
);

interface Parts {
  readonly order?: "score" | "breadth";
  readonly prunes?: boolean;
  readonly expands?: boolean;
}

function variant(name: string, summary: string, parts: Parts): PolicyDefinition {
  const { order = "score", prunes = true, expands = true } = parts;
  return {
    name,
    summary,
    parameters: PARAMETERS,
    limits: {
      ...LEVEL_TREE_LIMITS,
      expandTotal: [1, 1024],
      segment: [1, 1024],
      appended: [0, 1024],
    },
    create(parameters) {
      const { expandTotal, segment, appended } = { ...PARAMETERS, ...parameters };
      const fresh = levelTreeSize(parameters);
      return new StepwisePolicy({
        name,
        fresh,
        ...(expands && { expansion: { ...fresh, total: expandTotal } }),
        order,
        segment,
        appended: appended || Number.POSITIVE_INFINITY,
        prunes,
      });
    },
  };
}
