/**
 * Blocks of bytes that several machines share, by name. Nothing here is trusted: a name is the hash of its
 * bytes, and the reader checks it.
 */
export interface BlobStore {
  has(name: string): Promise<boolean>;
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Undefined when there is none of that name. */
  get(name: string): Promise<Uint8Array | undefined>;
}
