import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RevisionConflictError } from "../../transport/errors.ts";
import type { KeyValue } from "../../transport/key-value.ts";
import { MemoryKeyValue } from "../../transport/memory-key-value.ts";
import { connectNats, type NatsTransport } from "../../transport/nats.ts";
import { openNatsBlobStore } from "../../transport/nats-blob-store.ts";
import { openNatsKeyValue } from "../../transport/nats-key-value.ts";
import { startNatsServer, type TestNatsServer } from "../nats-server.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const conflict = async (attempt: Promise<unknown>): Promise<boolean> =>
  attempt.then(
    () => false,
    (error: unknown) => error instanceof RevisionConflictError,
  );

let folder: string;
let server: TestNatsServer;
let transport: NatsTransport;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-kv-"));
  server = await startNatsServer({ args: ["--jetstream", "--store_dir", folder] });
  transport = await connectNats({ url: server.url, name: "test" });
});
afterAll(async () => {
  await transport.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

/** What every KeyValue must do. */
function describeKeyValue(kind: string, open: () => Promise<KeyValue>): void {
  describe(`${kind} key-value records`, () => {
    test("a key is made once, changed only at its newest revision, and can be made again when removed", async () => {
      const store = await open();
      expect(await store.get("host.attic")).toBeUndefined();
      const first = await store.create("host.attic", bytes("one"));
      expect(await conflict(store.create("host.attic", bytes("other")))).toBe(true);
      const second = await store.update("host.attic", bytes("two"), first);
      expect(second).toBeGreaterThan(first);
      expect(await conflict(store.update("host.attic", bytes("late"), first))).toBe(true);
      expect(await store.get("host.attic")).toEqual({ value: bytes("two"), revision: second });
      expect(await conflict(store.remove("host.attic", first))).toBe(true);
      await store.remove("host.attic", second);
      expect(await store.get("host.attic")).toBeUndefined();
      expect(await conflict(store.update("host.attic", bytes("ghost"), second))).toBe(true);
      const again = await store.create("host.attic", bytes("three"));
      expect(await store.get("host.attic")).toEqual({ value: bytes("three"), revision: again });
    });

    test("of many that change a key at once, exactly one succeeds", async () => {
      const store = await open();
      const revision = await store.create("leader", bytes("nobody"));
      const attempts = Array.from({ length: 20 }, (_, i) =>
        store.update("leader", bytes(String(i)), revision),
      );
      const results = await Promise.allSettled(attempts);
      const winners = results.flatMap(({ status }, i) => (status === "fulfilled" ? [String(i)] : []));
      expect(winners).toHaveLength(1);
      expect(new TextDecoder().decode((await store.get("leader"))?.value)).toBe(winners[0]!);
    });
  });
}

let buckets = 0;
describeKeyValue("in-memory", async () => new MemoryKeyValue());
describeKeyValue("NATS", () => openNatsKeyValue(transport, `test_${buckets++}`));

describe("NATS blobs", () => {
  test("of 5 MiB come back whole, by another reader; others are not there", async () => {
    const writer = await openNatsBlobStore(transport, "blobs");
    const reader = await openNatsBlobStore(transport, "blobs");
    const blob = Uint8Array.from({ length: 5 * 1024 * 1024 }, (_, i) => (i * 31 + (i >> 9)) & 0xff);
    expect(await reader.has("one")).toBe(false);
    expect(await reader.get("one")).toBeUndefined();
    await writer.put("one", blob);
    expect(await reader.has("one")).toBe(true);
    expect(Buffer.compare((await reader.get("one")) ?? new Uint8Array(0), blob)).toBe(0);
  });
});
