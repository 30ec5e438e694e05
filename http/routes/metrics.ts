import type { Context } from "hono";
import type { Gateway, GatewayEnv } from "../gateway.ts";

/** GET /metrics, in Prometheus' text format. */
export const metrics =
  (gateway: Gateway) =>
  async (c: Context<GatewayEnv>): Promise<Response> => {
    const { registry } = gateway.metrics;
    return c.body(await registry.metrics(), 200, { "content-type": registry.contentType });
  };
