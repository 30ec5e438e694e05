import { systemClock } from "../../actors/runtime/clock.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { treeHostActor } from "../../actors/tree-host.ts";
import { epoch } from "../../decoding/ids.ts";
import { Autoregressive } from "../../decoding/policies/autoregressive.ts";
import { fitFlowspec } from "../../decoding/policies/fit.ts";
import { Flowspec, PAPER_SIZES } from "../../decoding/policies/flowspec.ts";
import type { Policy } from "../../decoding/policies/policy.ts";
import { openGguf } from "../../models/gguf/gguf-file.ts";
import { readLlamaConfig } from "../../models/gguf/llama-config.ts";
import type { PolicyName, RoleStart, TreeRole } from "../role.ts";
import { joinMesh, processMetadata } from "./membership.ts";

/** Hidden rows of a prompt chunk stay below this on the wire. */
const CHUNK_BYTES_MAX = 256 * 1024;
/** More nodes at once gain nothing on the devices tried, and keep the other stages waiting. */
const CHUNK_NODES_MAX = 64;

export const startTree: RoleStart<TreeRole> = async (role, context) => {
  const { mesh, stages: stageCount, hasDrafter, policy: defaultPolicy } = role;
  const config = await readConfig(role.modelPath);
  const transport = await joinMesh(role, "tree", context.log);
  const chunkNodes = Math.min(CHUNK_NODES_MAX, Math.floor(CHUNK_BYTES_MAX / (4 * config.hidden)));
  const actor = await spawn(
    treeHostActor({
      mesh,
      epoch: epoch(role.epoch),
      stageCount,
      hasDrafter,
      chunkNodes: Math.max(1, chunkNodes),
      contextLength: config.contextLength,
      defaultPolicy,
      policies: new Map(Object.entries(policies(role))),
    }),
    { transport, clock: systemClock, log: context.log, metadata: processMetadata() },
  );
  actor.ended.then((error) => error && context.fail(error), context.fail);
  return {
    async stop() {
      await actor.stop();
      await transport.close();
    },
  };
};

function policies({ preset, costs, share }: TreeRole): Record<PolicyName, () => Policy> {
  const sizes = preset === "paper" ? PAPER_SIZES : fitFlowspec(costs, share);
  return { flowspec: () => new Flowspec(sizes), autoregressive: () => new Autoregressive() };
}

async function readConfig(modelPath: string) {
  const gguf = await openGguf(modelPath);
  try {
    return readLlamaConfig(gguf);
  } finally {
    await gguf.close();
  }
}
