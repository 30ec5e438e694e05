import type { Plan } from "./records.ts";

type PlanStage = Plan["stages"][number];

/**
 * What the processors of a plan's stages make of the model: one name where all are alike, since then the split
 * changes no bit, else each stage's layers with its own, like `0-14:1a2b3c4d 15-29:5e6f7a8b`. Undefined while
 * a stage has not told.
 */
export function planArithmetic(
  stages: readonly PlanStage[],
  arithmeticOf: (stage: PlanStage) => string | undefined,
): string | undefined {
  const names = stages.map(arithmeticOf);
  if (names.includes(undefined)) return undefined;
  if (new Set(names).size === 1) return names[0];
  return stages
    .map(({ firstLayer, endLayer }, index) => `${firstLayer}-${endLayer - 1}:${names[index]}`)
    .join(" ");
}

/** Whether stages run on processors that may give near-ties to other tokens than one another. */
export const isMixed = (arithmetic: string): boolean => arithmetic.includes(":");
