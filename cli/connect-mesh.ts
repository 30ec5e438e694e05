import { readFile } from "node:fs/promises";
import type { Log } from "../actors/runtime/log.ts";
import { connectNats, type NatsTransport } from "../transport/nats.ts";
import { inboxOf, type Role, roleUser } from "../transport/permissions.ts";
import type { NatsAccess } from "./role.ts";
import { UsageError } from "./usage-error.ts";

/**
 * Connects with what the user gave: an address, and a token or a credentials file where the server wants one.
 * The mesh's own server knows the role by its user, which follows from the token; any other looks at the token alone.
 */
export async function connectMesh(
  access: NatsAccess,
  options: {
    readonly name: string;
    readonly role?: Role;
    readonly log?: Log;
    readonly waitOnFirstConnect?: boolean;
  },
): Promise<NatsTransport> {
  const { url, token, credentials } = access;
  const { role = "member", ...others } = options;
  const creds = credentials === undefined ? {} : { credentials: await readCredentials(credentials) };
  const user = credentials === undefined ? roleUser(role, token) : {};
  const inboxPrefix = inboxOf(role, options.name);
  return connectNats({
    url,
    inboxPrefix,
    ...(token !== undefined && { token }),
    ...user,
    ...creds,
    ...others,
  });
}

async function readCredentials(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`option '--creds <file>' is '${path}', which cannot be read: ${why}`);
  }
}
