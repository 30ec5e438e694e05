import { hostname } from "node:os";
import type { Log } from "../../actors/runtime/log.ts";
import type { NatsTransport } from "../../transport/nats.ts";
import { connectMesh } from "../connect-mesh.ts";
import type { NatsAccess, RoleName, RolePlace } from "../role.ts";

interface Member {
  readonly role: RoleName;
  readonly nats: NatsAccess;
  readonly mesh: string;
  readonly host: string;
}

/** What `nats micro info` shows of every actor of this process. */
export const memberMetadata =
  (member: Member, place?: RolePlace): (() => Record<string, string>) =>
  () => ({
    mesh: member.mesh,
    pid: String(process.pid),
    host: member.host,
    machine: hostname(),
    ...(place !== undefined && { epoch: String(place.epoch) }),
  });

/** A child's own connection to the mesh. */
export function joinMesh(member: Member, name: string, log: Log): Promise<NatsTransport> {
  return connectMesh(member.nats, {
    name: `${member.mesh}-${member.host}-${name}`,
    role: member.role,
    log,
  });
}
