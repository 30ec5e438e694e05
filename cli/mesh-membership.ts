import { join } from "node:path";
import * as v from "valibot";
import {
  blobBucketOf,
  bucketOf,
  KEYS,
  type MeshRecord,
  meshSchema,
  PROTOCOL,
} from "../actors/mesh/records.ts";
import { Weights } from "../actors/mesh/weights.ts";
import { version } from "../package.json" with { type: "json" };
import { ConnectError } from "../transport/errors.ts";
import type { KeyValue } from "../transport/key-value.ts";
import type { NatsTransport } from "../transport/nats.ts";
import { openNatsBlobStore } from "../transport/nats-blob-store.ts";
import { listBuckets, openNatsKeyValue } from "../transport/nats-key-value.ts";
import { connectMesh } from "./connect-mesh.ts";
import type { NatsAccess } from "./role.ts";

/** This machine can't be part of that mesh, and why. */
export class JoinError extends Error {
  override readonly name = "JoinError";
}

export interface MeshDoor {
  readonly transport: NatsTransport;
  readonly store: KeyValue;
  readonly mesh: MeshRecord;
}

/** Finds a running mesh. Whatever is wrong is told here, before anything of the mesh is touched. */
export async function findMesh(nats: NatsAccess, mesh: string, name: string): Promise<MeshDoor> {
  const transport = await connect(nats, `${mesh}-${name}`);
  try {
    const buckets = await listBuckets(transport);
    if (!buckets.includes(bucketOf(mesh))) throw unknownMesh(nats, mesh, buckets);
    const store = await openNatsKeyValue(transport, bucketOf(mesh));
    const entry = await store.get(KEYS.mesh);
    if (entry === undefined) throw unknownMesh(nats, mesh, []);
    const json: unknown = JSON.parse(new TextDecoder().decode(entry.value));
    refuseOtherVersion(json, mesh);
    return { transport, store, mesh: v.parse(meshSchema, json) };
  } catch (error) {
    await transport.close();
    throw error;
  }
}

/** The parts of the model file that are here, and a way to the others. */
export async function meshWeights({ transport, mesh }: MeshDoor, cache: string): Promise<Weights> {
  const { sha256, bytes, parts } = mesh.model;
  const blobs = await openNatsBlobStore(transport, blobBucketOf(mesh.mesh));
  const path = join(cache, "parts", `${sha256}.gguf`);
  return new Weights({ mesh: mesh.mesh, transport, blobs, path, bytes, parts });
}

async function connect(nats: NatsAccess, name: string): Promise<NatsTransport> {
  try {
    return await connectMesh(nats, { name, waitOnFirstConnect: false });
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    if (!/auth/i.test(error.message)) {
      throw new JoinError(
        `nobody answers at ${nats.url}: ${error.message}. Is 'flowmesh up' running there, with --nats-host 0.0.0.0?`,
      );
    }
    const given = nats.token ?? nats.credentials;
    throw new JoinError(
      given === undefined
        ? `${nats.url} wants a token. Give the one that 'flowmesh up' shows, with --token.`
        : `${nats.url} refuses the ${nats.token === undefined ? "credentials" : "token"}. Give those that 'flowmesh up' shows.`,
    );
  }
}

function unknownMesh(nats: NatsAccess, mesh: string, buckets: readonly string[]): JoinError {
  const known = buckets.flatMap((bucket) => /^flow_([a-z0-9_-]+)$/.exec(bucket)?.[1] ?? []);
  const there = known.length === 0 ? "it has none" : `it has ${known.join(", ")}; choose one with --mesh`;
  return new JoinError(`there is no mesh "${mesh}" at ${nats.url}: ${there}.`);
}

const versionSchema = v.object({ protocol: v.number(), version: v.string() });

function refuseOtherVersion(json: unknown, mesh: string): void {
  const other = v.parse(versionSchema, json);
  if (other.protocol === PROTOCOL && other.version === version) return;
  throw new JoinError(
    `mesh "${mesh}" runs flowmesh ${other.version} (protocol ${other.protocol}), and this is flowmesh ${version} ` +
      `(protocol ${PROTOCOL}). Use the same version on both machines.`,
  );
}
