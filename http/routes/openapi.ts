import type { Context } from "hono";
import type { GatewayEnv } from "../gateway.ts";
import { openapiDocument } from "../openapi/document.ts";

/** GET /openapi.json: what the API is, made when it is first asked for. */
export function openapi(): (c: Context<GatewayEnv>) => Response {
  let text: string | undefined;
  return (c) => {
    text ??= JSON.stringify(openapiDocument());
    return c.body(text, 200, { "content-type": "application/json" });
  };
}
