import { drafterActor } from "../../actors/drafter.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { epoch } from "../../decoding/ids.ts";
import { startDraftEngine } from "../../models/draft/worker-draft-engine.ts";
import type { DrafterRole, RolePlace, RoleStart } from "../role.ts";
import { joinMesh, memberMetadata } from "./membership.ts";
import { PlacedActor } from "./placed-actor.ts";

export const startDrafter: RoleStart<DrafterRole> = async (role, context) => {
  const { kind, headFolder, threads, mesh } = role;
  const engine = await startDraftEngine({ kind, dir: headFolder, threads });
  engine.ended.then((error) => error && context.fail(error), context.fail);
  const transport = await joinMesh(role, "drafter", context.log);
  const placed = new PlacedActor(context, (place) =>
    spawn(drafterActor({ mesh, epoch: epoch(place.epoch), engine }), {
      transport,
      clock: systemClock,
      log: context.log,
      metadata: memberMetadata(role, place),
    }),
  );
  if (role.place !== undefined) await placed.enter(role.place);
  return {
    tell: (place) => void placed.enter(place as RolePlace),
    async stop() {
      await placed.stop();
      await transport.close();
      await engine.close();
    },
  };
};
