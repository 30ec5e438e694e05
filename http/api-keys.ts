import { createHash, timingSafeEqual } from "node:crypto";
import * as v from "valibot";

const limit = v.optional(v.pipe(v.number(), v.integer(), v.minValue(1)));

const apiKeySchema = v.object({
  /** For people, and for logs. */
  name: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.-]{1,64}$/)),
  /** Hex. A key is 32 random bytes, so a slow hash would protect nothing. */
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  /** ISO 8601. */
  created: v.string(),
  requestsPerMinute: limit,
  /** Of prompts and answers together. */
  tokensPerMinute: limit,
});
export type ApiKey = v.InferOutput<typeof apiKeySchema>;

/** A file of keys, none of which can be read from it. */
export const keysFileSchema = v.object({ version: v.literal(1), keys: v.array(apiKeySchema) });

export const hashKey = (key: string): string => createHash("sha256").update(key).digest("hex");

/** Whom the gateway answers. */
export interface KeyRing {
  /** Empty: everybody. */
  keys(): readonly ApiKey[];
}

export const OPEN_TO_ALL: KeyRing = { keys: () => [] };

/** The key that was presented, by its hash, compared in constant time. */
export function findKey(keys: readonly ApiKey[], presented: string): ApiKey | undefined {
  const hash = Buffer.from(hashKey(presented), "hex");
  let found: ApiKey | undefined;
  for (const key of keys) if (timingSafeEqual(Buffer.from(key.sha256, "hex"), hash)) found = key;
  return found;
}
