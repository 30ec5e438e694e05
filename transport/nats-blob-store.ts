import { type ObjectStore, Objm } from "@nats-io/obj";
import type { BlobStore } from "./blob-store.ts";
import type { NatsTransport } from "./nats.ts";

/** Blobs in a JetStream object store, which is made if it is not there yet. */
export async function openNatsBlobStore(transport: NatsTransport, bucket: string): Promise<BlobStore> {
  return new NatsBlobStore(await new Objm(transport.connection).create(bucket));
}

class NatsBlobStore implements BlobStore {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  async has(name: string): Promise<boolean> {
    const known = await this.#store.info(name);
    return known !== null && !known.deleted;
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.#store.putBlob({ name }, bytes);
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return (await this.#store.getBlob(name)) ?? undefined;
  }
}
