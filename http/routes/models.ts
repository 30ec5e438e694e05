import type { Context } from "hono";
import { modelIds, requireModel } from "../admission.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";

/** GET /v1/models. `created` is the gateway's start. */
export function listModels(gateway: Gateway, created: number) {
  return (c: Context<GatewayEnv>): Response => {
    const data = modelIds(gateway.sessions.status()).map(() => model(gateway, created));
    return c.json({ object: "list", data });
  };
}

/** GET /v1/models/:id */
export function getModel(gateway: Gateway, created: number) {
  return (c: Context<GatewayEnv>): Response => {
    requireModel(c.req.param("id") ?? "", gateway.sessions.status());
    return c.json(model(gateway, created));
  };
}

function model(gateway: Gateway, created: number) {
  const status = gateway.sessions.status();
  return {
    id: status.modelId,
    object: "model",
    created,
    owned_by: "flowmesh",
    flowmesh: {
      context_length: status.contextLength,
      policies: status.policies,
      stages: status.stages,
      numerics: status.numerics,
    },
  };
}
