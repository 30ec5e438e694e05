import type { Clock } from "../actors/runtime/clock.ts";
import type { ApiKey } from "./api-keys.ts";

const MINUTE_MS = 60_000;

/** Fills up evenly, a minute's worth a minute, and holds that much at most. What is taken may overdraw it. */
class Bucket {
  readonly #perMinute: number;
  #level: number;
  #atMs: number;

  constructor(perMinute: number, nowMs: number) {
    this.#perMinute = perMinute;
    this.#level = perMinute;
    this.#atMs = nowMs;
  }

  get perMinute(): number {
    return this.#perMinute;
  }

  level(nowMs: number): number {
    const gained = ((nowMs - this.#atMs) * this.#perMinute) / MINUTE_MS;
    this.#level = Math.min(this.#perMinute, this.#level + gained);
    this.#atMs = nowMs;
    return this.#level;
  }

  take(count: number, nowMs: number): void {
    this.#level = this.level(nowMs) - count;
  }

  /** Until there are so many. */
  waitMs(count: number, nowMs: number): number {
    return Math.max(0, ((count - this.level(nowMs)) * MINUTE_MS) / this.#perMinute);
  }
}

/** What is left of one limit. */
export interface Allowance {
  readonly limit: number;
  readonly remaining: number;
  /** Until it is whole again. */
  readonly resetMs: number;
}

export interface Admittance {
  /** 0: the request may go on. */
  readonly waitMs: number;
  /** Which limit it has to wait for. */
  readonly exceeded: "requests" | "tokens" | undefined;
  readonly requests: Allowance | undefined;
  readonly tokens: Allowance | undefined;
}

interface Buckets {
  readonly requests: Bucket | undefined;
  readonly tokens: Bucket | undefined;
}

/**
 * Requests and tokens that each key may still have. How many tokens an answer takes shows only as it comes, so
 * a request is let in while there are any left, and what it takes beyond has to fill up again.
 */
export class RateLimits {
  readonly #clock: Clock;
  readonly #byKey = new Map<string, Buckets>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts the request, unless it has to wait. */
  admit(key: ApiKey): Admittance {
    const nowMs = this.#clock.now();
    const { requests, tokens } = this.#bucketsOf(key, nowMs);
    const [requestMs, tokenMs] = [requests?.waitMs(1, nowMs) ?? 0, tokens?.waitMs(1, nowMs) ?? 0];
    const waitMs = Math.max(requestMs, tokenMs);
    if (waitMs === 0) requests?.take(1, nowMs);
    return {
      waitMs,
      exceeded: waitMs === 0 ? undefined : requestMs >= tokenMs ? "requests" : "tokens",
      requests: requests && allowance(requests, nowMs),
      tokens: tokens && allowance(tokens, nowMs),
    };
  }

  charge(key: ApiKey, tokens: number): void {
    const nowMs = this.#clock.now();
    this.#bucketsOf(key, nowMs).tokens?.take(tokens, nowMs);
  }

  #bucketsOf({ sha256, requestsPerMinute, tokensPerMinute }: ApiKey, nowMs: number): Buckets {
    const known = this.#byKey.get(sha256);
    const isSame =
      known?.requests?.perMinute === requestsPerMinute && known?.tokens?.perMinute === tokensPerMinute;
    if (known !== undefined && isSame) return known;
    const bucket = (perMinute: number | undefined) =>
      perMinute === undefined ? undefined : new Bucket(perMinute, nowMs);
    const buckets = { requests: bucket(requestsPerMinute), tokens: bucket(tokensPerMinute) };
    this.#byKey.set(sha256, buckets);
    return buckets;
  }
}

const allowance = (bucket: Bucket, nowMs: number): Allowance => ({
  limit: bucket.perMinute,
  remaining: Math.max(0, Math.floor(bucket.level(nowMs))),
  resetMs: bucket.waitMs(bucket.perMinute, nowMs),
});
