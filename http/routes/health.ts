import type { Context } from "hono";
import type { Gateway, GatewayEnv } from "../gateway.ts";

/** GET /health: 200 while a generation request would be served at once, else 503 with the reason. */
export const health =
  (gateway: Gateway) =>
  (c: Context<GatewayEnv>): Response => {
    const { ready, reason = "the pipeline is not ready" } = gateway.sessions.status();
    return ready ? c.json({ status: "ok" }) : c.json({ status: "unavailable", reason }, 503);
  };
