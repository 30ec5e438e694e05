import { systemClock } from "../../actors/runtime/clock.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { treeHostActor, treePlace } from "../../actors/tree-host.ts";
import { epoch } from "../../decoding/ids.ts";
import { createPolicy } from "../../decoding/policies/registry.ts";
import { openGguf } from "../../models/gguf/gguf-file.ts";
import { readLlamaConfig } from "../../models/gguf/llama-config.ts";
import type { RoleStart, TreeRole } from "../role.ts";
import { joinMesh, memberMetadata } from "./membership.ts";

/** Hidden rows of a prompt chunk stay below this on the wire. */
const CHUNK_BYTES_MAX = 256 * 1024;
/** More nodes at once gain nothing on the devices tried, and keep the other stages waiting. */
const CHUNK_NODES_MAX = 64;

/** Until the first placement. */
const NOWHERE = { epoch: epoch(0), stageCount: 0, hasDrafter: false, costs: [[{ nodes: 1, ms: 1 }]] };

export const startTree: RoleStart<TreeRole> = async (role, context) => {
  const { mesh, policy: defaultPolicy, plan } = role;
  const placed = plan === undefined ? NOWHERE : treePlace(epoch(role.epoch ?? 0), plan);
  const config = await readConfig(role.modelPath);
  const transport = await joinMesh(role, "tree", context.log);
  const chunkNodes = Math.min(CHUNK_NODES_MAX, Math.floor(CHUNK_BYTES_MAX / (4 * config.hidden)));
  const actor = await spawn(
    treeHostActor({
      mesh,
      host: role.host,
      ...placed,
      chunkNodes: Math.max(1, chunkNodes),
      contextLength: config.contextLength,
      defaultPolicy,
      makePolicy: createPolicy,
    }),
    { transport, clock: systemClock, log: context.log, metadata: memberMetadata(role) },
  );
  actor.ended.then((error) => error && context.fail(error), context.fail);
  return {
    async stop() {
      await actor.stop();
      await transport.close();
    },
  };
};

async function readConfig(modelPath: string) {
  const gguf = await openGguf(modelPath);
  try {
    return readLlamaConfig(gguf);
  } finally {
    await gguf.close();
  }
}
