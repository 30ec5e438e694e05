import type { MiddlewareHandler } from "hono";
import type { Clock } from "../actors/runtime/clock.ts";
import { findKey, type KeyRing } from "./api-keys.ts";
import { ApiError } from "./errors.ts";
import type { GatewayEnv } from "./gateway.ts";
import { type Admittance, type Allowance, RateLimits } from "./rate-limits.ts";

const CHALLENGE = { "www-authenticate": "Bearer" };

/**
 * Lets requests with a key in, as often as it may come. A ring without keys lets everybody in. Answers charge the
 * tokens that they take to `charge`.
 */
export function authentication(ring: KeyRing, clock: Clock): MiddlewareHandler<GatewayEnv> {
  const limits = new RateLimits(clock);
  return async (c, next) => {
    const keys = ring.keys();
    if (keys.length === 0) return next();
    const presented = /^Bearer\s+(\S+)\s*$/i.exec(c.req.header("authorization") ?? "")?.[1];
    if (presented === undefined) {
      throw refused("an API key is needed: send it as 'Authorization: Bearer <key>'", "missing_api_key");
    }
    const key = findKey(keys, presented);
    if (key === undefined) throw refused("this API key is not one that is known here", "invalid_api_key");
    c.set("keyHash", key.sha256);
    // Only what costs the mesh something counts.
    if (c.req.method === "POST") {
      const admitted = limits.admit(key);
      for (const [name, value] of Object.entries(limitHeaders(admitted))) c.header(name, value);
      if (admitted.exceeded !== undefined) throw exhausted(admitted, key.name);
      c.set("charge", (tokens) => limits.charge(key, tokens));
    }
    return next();
  };
}

const refused = (message: string, code: string): ApiError =>
  new ApiError(401, message, { type: "authentication_error", code, headers: CHALLENGE });

function exhausted(admitted: Admittance, name: string): ApiError {
  const { exceeded = "requests", waitMs } = admitted;
  const limit = admitted[exceeded]?.limit ?? 0;
  const seconds = Math.max(1, Math.ceil(waitMs / 1000));
  return new ApiError(
    429,
    `key "${name}" has used up its ${limit} ${exceeded} a minute; try again in ${seconds} s`,
    {
      type: "rate_limit_error",
      code: "rate_limit_exceeded",
      retryAfterSeconds: seconds,
      headers: limitHeaders(admitted),
    },
  );
}

/** As OpenAI's API has them. */
function limitHeaders({ requests, tokens }: Admittance): Record<string, string> {
  const headers = (what: string, { limit, remaining, resetMs }: Allowance) => ({
    [`x-ratelimit-limit-${what}`]: String(limit),
    [`x-ratelimit-remaining-${what}`]: String(remaining),
    [`x-ratelimit-reset-${what}`]: `${Math.ceil(resetMs)}ms`,
  });
  return { ...(requests && headers("requests", requests)), ...(tokens && headers("tokens", tokens)) };
}
