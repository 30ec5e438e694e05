import { type KV, Kvm } from "@nats-io/kv";
import { RevisionConflictError } from "./errors.ts";
import type { KeyEntry, KeyValue } from "./key-value.ts";
import type { NatsTransport } from "./nats.ts";

/** Shorter than a lease: a renewal that the server never got must be tried again in time. */
const UPDATE_TIMEOUT_MS = 1000;
/** JetStream's codes for a write that expected another revision. */
const CONFLICT_CODES: ReadonlySet<unknown> = new Set([10_071, 10_164]);

/** Records in a JetStream bucket of their own, which is made if it is not there yet. */
export async function openNatsKeyValue(transport: NatsTransport, bucket: string): Promise<KeyValue> {
  // Not by direct reads, which may come from a replica that is behind.
  const store = await new Kvm(transport.connection).create(bucket, { history: 1, allow_direct: false });
  return new NatsKeyValue(store);
}

class NatsKeyValue implements KeyValue {
  readonly #store: KV;

  constructor(store: KV) {
    this.#store = store;
  }

  async get(key: string): Promise<KeyEntry | undefined> {
    const entry = await this.#store.get(key);
    if (entry === null || entry.operation !== "PUT") return undefined;
    return { value: new Uint8Array(entry.value), revision: entry.revision };
  }

  create(key: string, value: Uint8Array): Promise<number> {
    return this.#guard(key, () => this.#store.create(key, value));
  }

  update(key: string, value: Uint8Array, revision: number): Promise<number> {
    return this.#guard(key, () => this.#store.update(key, value, revision, UPDATE_TIMEOUT_MS));
  }

  remove(key: string, revision: number): Promise<void> {
    return this.#guard(key, () => this.#store.purge(key, { previousSeq: revision }));
  }

  async #guard<Result>(key: string, act: () => Promise<Result>): Promise<Result> {
    try {
      return await act();
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      throw CONFLICT_CODES.has(code) ? new RevisionConflictError(key, { cause: error }) : error;
    }
  }
}

/** With all that is in it. */
export async function deleteBucket(transport: NatsTransport, bucket: string): Promise<void> {
  const store = await new Kvm(transport.connection).open(bucket);
  await store.destroy();
}

/** Names of the buckets that the server has. */
export async function listBuckets(transport: NatsTransport): Promise<string[]> {
  const names: string[] = [];
  for await (const { bucket } of new Kvm(transport.connection).list()) names.push(bucket);
  return names.toSorted();
}
