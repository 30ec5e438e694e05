import type { Context } from "hono";
import { SessionError } from "../../actors/session-port.ts";
import { readyStatus } from "../admission.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";

/** GET /health: 200 once a generation request would be served, else 503 with the reason. */
export const health =
  (gateway: Gateway) =>
  (c: Context<GatewayEnv>): Response => {
    try {
      readyStatus(gateway.sessions);
      return c.json({ status: "ok" });
    } catch (error) {
      if (!(error instanceof SessionError)) throw error;
      return c.json({ status: "unavailable", reason: error.message }, 503);
    }
  };
