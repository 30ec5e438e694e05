import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blobBucketOf, bucketOf, KEYS, type MeshRecord, PROTOCOL } from "../../actors/mesh/records.ts";
import { provideWeights } from "../../actors/mesh/weights.ts";
import { encodeJson } from "../../actors/messages.ts";
import { listParts } from "../../models/weight-parts.ts";
import { version } from "../../package.json" with { type: "json" };
import { connectNats, type NatsTransport } from "../../transport/nats.ts";
import { openNatsBlobStore } from "../../transport/nats-blob-store.ts";
import { openNatsKeyValue } from "../../transport/nats-key-value.ts";
import { runFlowmesh } from "../flowmesh-command.ts";
import { startNatsServer, type TestNatsServer } from "../nats-server.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";

/** What a machine that can't join is told. The mesh is what `up` writes of it: no host is asked. */
const TIMEOUT_MS = 60_000;
let folder = "";
let model = "";
let server: TestNatsServer;
let nats: NatsTransport;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-refusals-"));
  model = join(folder, "tiny.gguf");
  await writeTinyGguf(model, { layers: 4 });
  server = await startNatsServer({ args: ["--jetstream", "--store_dir", join(folder, "jetstream")] });
  nats = await connectNats({ url: server.url, name: "test" });
}, TIMEOUT_MS);
afterAll(async () => {
  await nats.close();
  await server.stop();
  await rm(folder, { recursive: true });
});

async function writeMesh(mesh: string, changes: Partial<MeshRecord> = {}): Promise<void> {
  const blobs = await openNatsBlobStore(nats, blobBucketOf(mesh));
  const { parts } = await provideWeights({ mesh, transport: nats, blobs }, model);
  const record: MeshRecord = {
    ...{ mesh, protocol: PROTOCOL, version, policy: "fullflow", sessionsLeast: 1, pins: [] },
    ...changes,
    model: {
      ...{ id: "tiny", sha256: mesh, bytes: Bun.file(model).size, layers: 4, contextLength: 512, hidden: 64 },
      ...{ headLayers: 1, tied: true, layerBytes: 1, embeddingBytes: 1, headBytes: 1, numerics: "fast" },
      ...{ taps: [], parts },
    },
  };
  await (await openNatsKeyValue(nats, bucketOf(mesh))).create(KEYS.mesh, encodeJson(record));
}

async function joinMesh(mesh: string) {
  const args = ["node", "--nats", server.url, "--mesh", mesh, "--name", "attic"];
  const ended = await runFlowmesh(args, { ...process.env, FLOWMESH_HOME: join(folder, `home-${mesh}`) });
  const hosts = await (await openNatsKeyValue(nats, bucketOf(mesh))).get(KEYS.host("attic"));
  return { ...ended, joined: hosts !== undefined };
}

test(
  "a machine with another version is refused; both versions are named",
  async () => {
    await writeMesh("newer", { version: "99.1.2" });
    const newer = await joinMesh("newer");
    expect(newer).toMatchObject({ code: 1, joined: false });
    expect(newer.errors).toContain(
      `mesh "newer" runs flowmesh 99.1.2 (protocol ${PROTOCOL}), and this is flowmesh ${version} (protocol ${PROTOCOL})`,
    );
    await writeMesh("older", { protocol: 1 });
    const older = await joinMesh("older");
    expect(older).toMatchObject({ code: 1, joined: false });
    expect(older.errors).toContain(`(protocol 1), and this is flowmesh ${version} (protocol ${PROTOCOL})`);
    expect(older.errors).toContain("Use the same version on both machines");
  },
  TIMEOUT_MS,
);

test(
  "a machine that is sent damaged weights says which part, and does not join",
  async () => {
    await writeMesh("damaged");
    const header = (await listParts(model)).find(({ piece }) => piece === "header");
    const blobs = await openNatsBlobStore(nats, blobBucketOf("damaged"));
    await blobs.put(header?.sha256 ?? "", new Uint8Array(header?.bytes ?? 0));
    const { code, errors, joined } = await joinMesh("damaged");
    expect({ code, joined }).toEqual({ code: 1, joined: false });
    expect(errors).toContain(
      `part ${header?.sha256} (header) is damaged in the mesh's store: its SHA-256 is`,
    );
    expect(errors).not.toContain("    at ");
  },
  TIMEOUT_MS,
);
