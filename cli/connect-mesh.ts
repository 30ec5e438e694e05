import { readFile } from "node:fs/promises";
import type { Log } from "../actors/runtime/log.ts";
import { connectNats, type NatsTransport } from "../transport/nats.ts";
import type { NatsAccess } from "./role.ts";
import { UsageError } from "./usage-error.ts";

/** Connects with what the user gave: an address, and a token or a credentials file where the server wants one. */
export async function connectMesh(
  access: NatsAccess,
  options: { readonly name: string; readonly log?: Log; readonly waitOnFirstConnect?: boolean },
): Promise<NatsTransport> {
  const { url, token, credentials } = access;
  const creds = credentials === undefined ? {} : { credentials: await readCredentials(credentials) };
  return connectNats({ url, ...(token !== undefined && { token }), ...creds, ...options });
}

async function readCredentials(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`option '--creds <file>' is '${path}', which cannot be read: ${why}`);
  }
}
