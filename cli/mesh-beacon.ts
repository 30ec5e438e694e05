import { pipelineBeaconActor } from "../actors/pipeline-beacon.ts";
import { systemClock } from "../actors/runtime/clock.ts";
import type { Log } from "../actors/runtime/log.ts";
import { spawn } from "../actors/runtime/spawn.ts";
import { POLICIES } from "../decoding/policies/registry.ts";
import { connectNats } from "../transport/nats.ts";
import type { MeshPlan } from "./mesh-children.ts";
import { processMetadata } from "./roles/membership.ts";

export interface Beacon {
  stop(): Promise<void>;
}

/** A process that is away for less is being restarted: requests are taken, and wait for it. */
const RESTART_GRACE_MS = 10_000;

/** Tells the mesh each second what it serves; `missing` names a process that is not up, if there is one. */
export async function startBeacon(
  plan: MeshPlan,
  missing: () => string | undefined,
  log: Log,
): Promise<Beacon> {
  const { options, model, natsUrl } = plan;
  const transport = await connectNats({ url: natsUrl, name: `${options.mesh}-host`, log });
  const serves = {
    epoch: 1,
    modelId: model.id,
    contextLength: model.contextLength,
    policies: [...POLICIES.keys()],
    stages: model.stages.length,
    numerics: options.numerics,
  };
  let missingSinceMs: number | undefined;
  const read = () => {
    const name = missing();
    missingSinceMs = name === undefined ? undefined : (missingSinceMs ?? systemClock.now());
    return missingSinceMs === undefined || systemClock.now() - missingSinceMs < RESTART_GRACE_MS
      ? { ...serves, ready: true }
      : { ...serves, ready: false, reason: `${name} is being started` };
  };
  const actor = await spawn(pipelineBeaconActor(options.mesh, read), {
    transport,
    clock: systemClock,
    log,
    metadata: processMetadata,
  });
  return {
    async stop() {
      await actor.stop();
      await transport.close();
    },
  };
}
