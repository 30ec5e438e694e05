import type { DraftSize } from "../../../decoding/policies/policy.ts";

/** A small tree as EAGLE-2 grows it. */
export const SMALL_TREE: DraftSize = {
  growth: "level",
  topK: 4,
  batch: 4,
  depth: 3,
  total: 24,
  minProbability: 0,
  coupled: true,
};
