import { drafterActor } from "../../actors/drafter.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { epoch } from "../../decoding/ids.ts";
import { startDraftEngine } from "../../models/draft/worker-draft-engine.ts";
import type { DrafterRole, RoleStart } from "../role.ts";
import { joinMesh, processMetadata } from "./membership.ts";

export const startDrafter: RoleStart<DrafterRole> = async (role, context) => {
  const { kind, headFolder, threads, mesh } = role;
  const engine = await startDraftEngine({ kind, dir: headFolder, threads });
  engine.ended.then((error) => error && context.fail(error), context.fail);
  const transport = await joinMesh(role, "drafter", context.log);
  const actor = await spawn(drafterActor({ mesh, epoch: epoch(role.epoch), engine }), {
    transport,
    clock: systemClock,
    log: context.log,
    metadata: processMetadata,
  });
  actor.ended.then((error) => error && context.fail(error), context.fail);
  return {
    async stop() {
      await actor.stop();
      await transport.close();
      await engine.close();
    },
  };
};
