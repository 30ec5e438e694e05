import { RevisionConflictError } from "./errors.ts";
import type { KeyEntry, KeyValue } from "./key-value.ts";

/** Key-value records in one process. */
export class MemoryKeyValue implements KeyValue {
  readonly #entries = new Map<string, KeyEntry>();
  #revision = 0;

  async get(key: string): Promise<KeyEntry | undefined> {
    return this.#entries.get(key);
  }

  async create(key: string, value: Uint8Array): Promise<number> {
    if (this.#entries.has(key)) throw new RevisionConflictError(key);
    return this.#set(key, value);
  }

  async update(key: string, value: Uint8Array, revision: number): Promise<number> {
    if (this.#entries.get(key)?.revision !== revision) throw new RevisionConflictError(key);
    return this.#set(key, value);
  }

  async remove(key: string, revision: number): Promise<void> {
    if (this.#entries.get(key)?.revision !== revision) throw new RevisionConflictError(key);
    this.#entries.delete(key);
    this.#revision++;
  }

  #set(key: string, value: Uint8Array): number {
    this.#entries.set(key, { value: value.slice(), revision: ++this.#revision });
    return this.#revision;
  }
}
