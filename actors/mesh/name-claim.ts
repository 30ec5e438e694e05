import * as v from "valibot";
import { RevisionConflictError } from "../../transport/errors.ts";
import type { KeyEntry } from "../../transport/key-value.ts";
import { encodeJson, parseJson } from "../messages.ts";
import { sleep } from "../runtime/clock.ts";
import { type MeshLink, repeat } from "./mesh-link.ts";
import { DEAD_MS, RENEW_EVERY_MS } from "./records.ts";

const claimSchema = v.object({ instance: v.string() });

type ClaimLink = Pick<MeshLink, "store" | "clock" | "log">;

/**
 * A name that one process of the mesh has at a time: the record of that key, which only one can create, and
 * which its holder renews. One that stands unchanged for longer than a lease is taken over.
 */
export class NameClaim {
  /** Resolves when another process has taken the name: this one was thought dead. */
  readonly lost: Promise<void>;
  readonly #link: ClaimLink;
  readonly #key: string;
  readonly #instance: string;
  readonly #stopRepeating: () => void;
  readonly #markLost: () => void;
  #revision: number;

  /**
   * @param instance drawn by each process that wants a name
   * @returns undefined when another one has the name, which takes a second or two to see
   * @throws what the store throws, except for conflicts
   */
  static async take(link: ClaimLink, key: string, instance: string): Promise<NameClaim | undefined> {
    const { store, clock } = link;
    let seen: { readonly revision: number; readonly sinceMs: number } | undefined;
    for (;;) {
      const entry = await store.get(key);
      const revision = await attempt(async () => {
        if (entry === undefined) return await store.create(key, encodeJson({ instance }));
        // Created by a call whose answer was lost.
        if (holderOf(key, entry) === instance) return entry.revision;
        const isDead = seen?.revision === entry.revision && clock.now() - seen.sinceMs >= DEAD_MS;
        return isDead ? await store.update(key, encodeJson({ instance }), entry.revision) : undefined;
      });
      if (revision !== undefined) return new NameClaim(link, key, { instance, revision });
      if (seen !== undefined && entry !== undefined && entry.revision !== seen.revision) return undefined;
      if (entry !== undefined) seen ??= { revision: entry.revision, sinceMs: clock.now() };
      await sleep(clock, RENEW_EVERY_MS / 2);
    }
  }

  private constructor(link: ClaimLink, key: string, held: { instance: string; revision: number }) {
    this.#link = link;
    this.#key = key;
    this.#instance = held.instance;
    this.#revision = held.revision;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.lost = promise;
    this.#markLost = resolve;
    this.#stopRepeating = repeat(link.clock, RENEW_EVERY_MS, () => this.#renew());
  }

  /** The name is free for others at once. */
  async release(): Promise<void> {
    this.#stopRepeating();
    await this.#link.store.remove(this.#key, this.#revision).catch(() => {});
  }

  async #renew(): Promise<void> {
    const { store, log } = this.#link;
    const value = encodeJson({ instance: this.#instance });
    try {
      const renewed = await attempt(() => store.update(this.#key, value, this.#revision));
      if (renewed !== undefined) {
        this.#revision = renewed;
        return;
      }
      const entry = await store.get(this.#key);
      // A renewal whose answer was lost is seen here; and a store that was emptied has no record.
      if (entry === undefined) this.#revision = await store.create(this.#key, value);
      else if (holderOf(this.#key, entry) === this.#instance) this.#revision = entry.revision;
      else {
        this.#stopRepeating();
        this.#markLost();
      }
    } catch (error) {
      log.write("debug", "the record of a name can't be reached", { key: this.#key, error });
    }
  }
}

function holderOf(key: string, { value }: KeyEntry): string {
  return parseJson(claimSchema, { subject: key, body: value }).instance;
}

/** Undefined when another process was faster. */
async function attempt(write: () => Promise<number | undefined>): Promise<number | undefined> {
  try {
    return await write();
  } catch (error) {
    if (error instanceof RevisionConflictError) return undefined;
    throw error;
  }
}
