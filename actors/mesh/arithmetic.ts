import type { Plan } from "./records.ts";

type PlanStage = Plan["stages"][number];

/** What the processors of a plan's stages make of the model. */
export interface PlanArithmetic {
  /**
   * One name where all are alike, since then the split changes no bit, else each stage's layers with its own, like
   * `0-14:1a2b3c4d 15-29:5e6f7a8b`.
   */
  readonly name: string;
  /** Whether they are unlike: another split may then give a near-tie to another token. */
  readonly isMixed: boolean;
}

/** Undefined while a stage has not told. */
export function planArithmetic(
  stages: readonly PlanStage[],
  arithmeticOf: (stage: PlanStage) => string | undefined,
): PlanArithmetic | undefined {
  const names = stages.map(arithmeticOf);
  const [one] = names;
  if (one === undefined || names.includes(undefined)) return undefined;
  if (names.every((name) => name === one)) return { name: one, isMixed: false };
  const each = stages.map(
    ({ firstLayer, endLayer }, index) => `${firstLayer}-${endLayer - 1}:${names[index]}`,
  );
  return { name: each.join(" "), isMixed: true };
}
