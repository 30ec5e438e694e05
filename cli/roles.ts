import type { RoleTable } from "./role.ts";
import { startDrafter } from "./roles/drafter.ts";
import { startGateway } from "./roles/gateway.ts";
import { startStage } from "./roles/stage.ts";
import { startTree } from "./roles/tree.ts";

export const roles: RoleTable = {
  stage: startStage,
  drafter: startDrafter,
  tree: startTree,
  gateway: startGateway,
};
