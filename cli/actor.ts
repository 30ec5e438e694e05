import { type ChildContext, runChild } from "../actors/host/child-entry.ts";
import type { RoleSpec, RoleTable, RunningRole } from "./role.ts";

/** `flowmesh actor`: what each child process of a host runs. Its role comes over the IPC channel. */
export async function runActorProcess(): Promise<void> {
  if (process.send === undefined) throw new NoParentError();
  const { roles } = await import("./roles.ts");
  runChild((spec, context) => startRole(roles, spec as RoleSpec, context));
}

/** Starts the role that `spec` names. */
function startRole(roles: RoleTable, spec: RoleSpec, context: ChildContext): Promise<RunningRole> {
  switch (spec.role) {
    case "stage":
      return roles.stage(spec, context);
    case "drafter":
      return roles.drafter(spec, context);
    case "tree":
      return roles.tree(spec, context);
    case "gateway":
      return roles.gateway(spec, context);
  }
}

class NoParentError extends Error {
  constructor() {
    super("'flowmesh actor' is started by 'flowmesh up', not by hand.");
    this.name = "NoParentError";
  }
}
