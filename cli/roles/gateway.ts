import { randomUUID } from "node:crypto";
import { systemClock } from "../../actors/runtime/clock.ts";
import { announce } from "../../actors/runtime/micro.ts";
import { SessionClient } from "../../actors/session-client.ts";
import { createApp } from "../../http/app.ts";
import { GatewayMetrics } from "../../http/metrics.ts";
import { serveHttp } from "../../http/server.ts";
import { loadModelText } from "../../models/model-text.ts";
import { version } from "../../package.json" with { type: "json" };
import type { GatewayRole, RoleStart } from "../role.ts";
import { joinMesh, memberMetadata } from "./membership.ts";

export const startGateway: RoleStart<GatewayRole> = async (role, context) => {
  const { mesh, listen: hostname, port, modelPath } = role;
  const text = await loadModelText(modelPath);
  const transport = await joinMesh(role, "gateway", context.log);
  const sessions = new SessionClient({ mesh, transport, clock: systemClock });
  const metrics = new GatewayMetrics();
  const presence = announce(transport, {
    identity: { name: "gateway", id: randomUUID(), version, metadata: memberMetadata(role)() },
    description: "OpenAI-compatible API over HTTP",
    started: new Date(),
    endpoints: () => [],
  });
  const app = createApp({ sessions, text, metrics, clock: systemClock, log: context.log });
  const server = serveHttp(app, { hostname, port });
  return {
    payload: { url: server.url },
    async stop() {
      await server.stop();
      presence.unsubscribe();
      sessions.close();
      await transport.close();
    },
  };
};
