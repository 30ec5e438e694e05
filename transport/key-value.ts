export interface KeyEntry {
  readonly value: Uint8Array;
  /** Grows with each change of any key. */
  readonly revision: number;
}

/**
 * Small records that several machines share, changed by compare-and-set. Keys are lower-case names with
 * dots. A call that fails with anything but RevisionConflictError may have worked: the caller reads the
 * key to find out. Reads may be a little old. Two implementations under one conformance suite.
 */
export interface KeyValue {
  get(key: string): Promise<KeyEntry | undefined>;
  /** Gives the new revision; rejects with RevisionConflictError when the key is there. */
  create(key: string, value: Uint8Array): Promise<number>;
  /** Gives the new revision; rejects with RevisionConflictError unless `revision` is the key's. */
  update(key: string, value: Uint8Array, revision: number): Promise<number>;
  /** Rejects with RevisionConflictError unless `revision` is the key's. */
  remove(key: string, revision: number): Promise<void>;
}
