import type { Log } from "../../actors/runtime/log.ts";
import { connectNats } from "../../transport/nats.ts";
import type { Transport } from "../../transport/transport.ts";

/** A child's own connection to the mesh. */
export function joinMesh(
  member: { readonly natsUrl: string; readonly mesh: string },
  name: string,
  log: Log,
): Promise<Transport> {
  return connectNats({ url: member.natsUrl, name: `${member.mesh}-${name}`, log });
}
