import { availableParallelism, totalmem } from "node:os";
import type { CostTable } from "../models/stage-engine.ts";
import type { DeviceModel } from "./device-model.ts";
import type { PreparedModel } from "./prepared-model.ts";
import type { DrafterRole, GatewayRole, RoleSpec, StageRole, TreeRole } from "./role.ts";
import type { UpOptions } from "./up-options.ts";

/** One child process of a mesh: its name, and what it is told to be. */
export interface MeshChild<Spec extends RoleSpec = RoleSpec> {
  readonly name: string;
  readonly spec: Spec;
}

/** A whole mesh on one machine: what its children have in common, and what they are made from. */
export interface MeshPlan {
  readonly options: UpOptions;
  readonly model: PreparedModel;
  readonly natsUrl: string;
  /** What the stages act like; absent: as fast as they are. */
  readonly device?: DeviceModel;
}

/** A mesh's first placement. */
const FIRST_EPOCH = 1;
/** Of the machine's memory, for the keys and values of all stages together. */
const KV_MEMORY_SHARE = 0.25;

const memberOf = ({ options, natsUrl }: MeshPlan) => ({ natsUrl, mesh: options.mesh, epoch: FIRST_EPOCH });

function threadsOf({ options, model }: MeshPlan): number {
  return options.threads ?? Math.max(1, Math.floor(availableParallelism() / model.stages.length));
}

export function stageChildren(plan: MeshPlan): MeshChild<StageRole>[] {
  const { stages, path: modelPath } = plan.model;
  const kvBudgetBytes = Math.floor((totalmem() * KV_MEMORY_SHARE) / stages.length);
  const pace = plan.device === undefined ? {} : { pace: plan.device.costs };
  const { link, reportWork } = plan.options;
  const measured = { ...pace, ...(link && { link }), reportWork };
  const shared = { ...memberOf(plan), modelPath, threads: threadsOf(plan), kvBudgetBytes, ...measured };
  return stages.map(({ spec: stage, dir: folder }) => ({
    name: `stage-${stage.index}`,
    spec: { role: "stage", ...shared, stage, folder },
  }));
}

/** Nobody where nobody guesses. */
export function drafterChildren(plan: MeshPlan): MeshChild<DrafterRole>[] {
  const { draft, path: modelPath } = plan.model;
  if (draft === undefined) return [];
  const head = draft.headFolder === undefined ? {} : { headFolder: draft.headFolder };
  const shared = { ...memberOf(plan), modelPath, threads: threadsOf(plan) };
  return [{ name: "drafter", spec: { role: "drafter", ...shared, kind: draft.kind, ...head } }];
}

/** A paced stage leaves its core idle most of the time, like a device of its own would. */
function shareCores(plan: MeshPlan): boolean {
  if (plan.device !== undefined) return false;
  return availableParallelism() < plan.model.stages.length * threadsOf(plan);
}

/** `costs` are what each stage measured of itself. */
export function treeChild(plan: MeshPlan, costs: readonly CostTable[]): MeshChild<TreeRole> {
  const { options, model } = plan;
  const stages = model.stages.length;
  const spec: TreeRole = {
    role: "tree",
    ...memberOf(plan),
    modelPath: model.path,
    stages,
    policy: options.policy,
    hasDrafter: model.draft !== undefined,
    costs,
    sharesCores: shareCores(plan),
  };
  return { name: "tree", spec };
}

export function gatewayChild(plan: MeshPlan): MeshChild<GatewayRole> {
  const { model } = plan;
  const { policy, numerics, host, port } = plan.options;
  const shared = { ...memberOf(plan), modelPath: model.path, modelId: model.id, stages: model.stages.length };
  return { name: "gateway", spec: { role: "gateway", ...shared, policy, numerics, host, port } };
}
