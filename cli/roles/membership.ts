import { hostname } from "node:os";
import type { Log } from "../../actors/runtime/log.ts";
import { connectNats } from "../../transport/nats.ts";
import type { Transport } from "../../transport/transport.ts";

/** What `nats micro info` shows of every actor of this process. */
export const processMetadata = (): Record<string, string> => ({
  pid: String(process.pid),
  host: hostname(),
});

/** A child's own connection to the mesh. */
export function joinMesh(
  member: { readonly natsUrl: string; readonly mesh: string },
  name: string,
  log: Log,
): Promise<Transport> {
  return connectNats({ url: member.natsUrl, name: `${member.mesh}-${name}`, log });
}
