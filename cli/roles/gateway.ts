import { randomUUID } from "node:crypto";
import { LiveFeed } from "../../actors/live-feed.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import { announce } from "../../actors/runtime/micro.ts";
import { SessionClient } from "../../actors/session-client.ts";
import { AdmissionQueue } from "../../http/admission-queue.ts";
import { createApp } from "../../http/app.ts";
import { GatewayMetrics } from "../../http/metrics.ts";
import { serveHttp } from "../../http/server.ts";
import { loadModelText, type ModelText } from "../../models/model-text.ts";
import { version } from "../../package.json" with { type: "json" };
import { pageOnce } from "../../web/build.ts";
import { KeysFile } from "../keys-file.ts";
import type { GatewayRole, RoleStart } from "../role.ts";
import { joinMesh, memberMetadata } from "./membership.ts";

export const startGateway: RoleStart<GatewayRole> = async (role, context) => {
  const { mesh, listen: hostname, port, modelPath, limits } = role;
  const text = await loadModelText(modelPath);
  const transport = await joinMesh(role, "gateway", context.log);
  const live = new LiveFeed({ mesh, transport, clock: systemClock, textOf: textOfToken(text) });
  const sessions = new SessionClient({ mesh, transport, clock: systemClock, live });
  const metrics = new GatewayMetrics();
  const presence = announce(transport, {
    identity: { name: "gateway", id: randomUUID(), version, metadata: memberMetadata(role)() },
    description: "OpenAI-compatible API over HTTP",
    started: new Date(),
    endpoints: () => [],
  });
  const room = () => ({
    sessions: limits.sessionsMax,
    tokens: sessions.status().kvTokens ?? Number.POSITIVE_INFINITY,
  });
  const { waitingMax, patienceMs } = limits;
  const queue = new AdmissionQueue({ clock: systemClock, room, waitingMax, patienceMs });
  metrics.watchQueue(() => queue.waiting);
  const app = createApp({
    sessions,
    queue,
    text,
    metrics,
    clock: systemClock,
    log: context.log,
    live,
    page: pageOnce(),
    keys: await KeysFile.open(role.keysPath, context.log),
    allowedOrigins: role.allowedOrigins,
  });
  const server = serveHttp(app, { hostname, port, ...(role.tls && { tls: role.tls }) });
  return {
    payload: { url: server.url },
    async stop() {
      live.close();
      await server.stop();
      presence.unsubscribe();
      sessions.close();
      await transport.close();
    },
  };
};

/** Each token's text is asked for many times while somebody watches. */
function textOfToken(text: ModelText): (token: number) => string {
  const known: string[] = [];
  return (token) => {
    known[token] ??= readToken(text, token);
    return known[token];
  };
}

function readToken(text: ModelText, token: number): string {
  const decoder = text.decoder();
  return decoder.push([token]) + decoder.flush();
}
