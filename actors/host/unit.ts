import type { SegmentCosts } from "../../decoding/costs.ts";
import type { Plan } from "../mesh/records.ts";

/** Something heavy that a host can be given to run; it is loaded once and serves one epoch after the other. */
export type UnitSpec =
  | {
      readonly role: "stage";
      /** [firstLayer, endLayer) of `layerCount`. */
      readonly firstLayer: number;
      readonly endLayer: number;
      readonly layerCount: number;
    }
  | { readonly role: "drafter" }
  | { readonly role: "tree" };

/** Where a unit stands in the pipeline of one epoch. */
export interface UnitPlace {
  readonly epoch: number;
  /** Of a stage; 0 for others. */
  readonly index: number;
  readonly plan: Plan;
}

/** What a stage says of itself when it is ready. */
export interface StageFacts {
  /** As it measured them. */
  readonly costs: SegmentCosts;
  /** Tokens of all sessions together that there is room for keys and values of. */
  readonly kvTokens: number;
  /** Names what its processor makes of the operators, see models/arithmetic.ts. */
  readonly arithmetic: string;
}

export interface RunningUnit {
  /** Undefined while it is being restarted. */
  readonly pid: number | undefined;
  /** Of a stage. */
  readonly facts?: StageFacts;
  /** Serves that epoch from now on, with nothing left of the one before; again after a restart. */
  enter(place: UnitPlace): void;
  /** Resolves with the reason when it ended too often to be started again. */
  readonly gaveUp: Promise<string>;
  stop(): Promise<void>;
  /** Ends it at once. */
  kill(): void;
}

export interface UnitLauncher {
  /** Resolves when the unit could serve: weights are there, loaded and tried. */
  start(unit: UnitSpec, name: string, signal: AbortSignal): Promise<RunningUnit>;
}

export const unitKey = (unit: UnitSpec): string =>
  unit.role === "stage" ? `stage-${unit.firstLayer}-${unit.endLayer}` : unit.role;

export interface PlacedUnit {
  readonly unit: UnitSpec;
  readonly name: string;
  readonly index: number;
}

/** What a plan gives one host to run. */
export function unitsOf(plan: Plan, host: string): PlacedUnit[] {
  const layerCount = plan.stages.at(-1)?.endLayer ?? 0;
  const stages = plan.stages.flatMap(({ host: at, firstLayer, endLayer }, index): PlacedUnit[] =>
    at === host
      ? [{ unit: { role: "stage", firstLayer, endLayer, layerCount }, name: `stage-${index}`, index }]
      : [],
  );
  const drafter: PlacedUnit[] =
    plan.drafter === host ? [{ unit: { role: "drafter" }, name: "drafter", index: 0 }] : [];
  const tree: PlacedUnit[] = plan.tree === host ? [{ unit: { role: "tree" }, name: "tree", index: 0 }] : [];
  return [...stages, ...drafter, ...tree];
}
