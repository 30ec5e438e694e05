import { systemClock } from "../../actors/runtime/clock.ts";
import { SessionClient } from "../../actors/session-client.ts";
import { createApp } from "../../http/app.ts";
import { GatewayMetrics } from "../../http/metrics.ts";
import { serveHttp } from "../../http/server.ts";
import { openGguf } from "../../models/gguf/gguf-file.ts";
import { createModelText } from "../../models/model-text.ts";
import type { GatewayRole, RoleStart } from "../role.ts";
import { joinMesh } from "./membership.ts";

export const startGateway: RoleStart<GatewayRole> = async (role, context) => {
  const { mesh, host: hostname, port, modelPath } = role;
  const gguf = await openGguf(modelPath);
  const text = createModelText(gguf);
  await gguf.close();
  const transport = await joinMesh(role, "gateway", context.log);
  const sessions = new SessionClient({ mesh, transport, clock: systemClock });
  const metrics = new GatewayMetrics();
  const app = createApp({ sessions, text, metrics, clock: systemClock, log: context.log });
  const server = serveHttp(app, { hostname, port });
  return {
    payload: { url: server.url },
    async stop() {
      await server.stop();
      sessions.close();
      await transport.close();
    },
  };
};
