import OpenAI from "openai";
import type { LivePort } from "../../actors/live-port.ts";
import { type Clock, systemClock } from "../../actors/runtime/clock.ts";
import type { Log, LogLevel } from "../../actors/runtime/log.ts";
import { AdmissionQueue, type AdmissionQueueOptions } from "../../http/admission-queue.ts";
import { type KeyRing, OPEN_TO_ALL } from "../../http/api-keys.ts";
import { createApp } from "../../http/app.ts";
import { GatewayMetrics } from "../../http/metrics.ts";
import { openapiDocument } from "../../http/openapi/document.ts";
import type { Page } from "../../http/page.ts";
import { serveHttp } from "../../http/server.ts";
import type { TextPort } from "../../http/text-port.ts";
import { ByteText } from "./byte-text.ts";
import { DescribedApi } from "./described-api.ts";
import { type Script, ScriptedSessions } from "./scripted-sessions.ts";

export class RecordingLog implements Log {
  readonly records: { level: LogLevel; message: string; fields: Readonly<Record<string, unknown>> }[] = [];

  write(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.records.push({ level, message, fields });
  }
}

const described = new DescribedApi(openapiDocument());

/**
 * The gateway on a port of its own over a scripted mesh; `await using` stops it, and fails if one of its answers was
 * not as GET /openapi.json describes it. Of event streams only the beginning is looked at: to read them would disturb
 * who reads them.
 */
export class ServedGateway implements AsyncDisposable {
  readonly sessions: ScriptedSessions;
  readonly metrics = new GatewayMetrics();
  readonly log = new RecordingLog();
  readonly queue: AdmissionQueue;
  readonly app;
  readonly url: string;
  readonly client: OpenAI;
  readonly #server;
  readonly #undescribed: string[] = [];

  constructor(
    script: Script | ScriptedSessions = { commits: [] },
    {
      clock = systemClock,
      text = new ByteText(),
      live = { watch: () => ({ stop: () => {} }) },
      page = async () => new Map(),
      keys = OPEN_TO_ALL,
      allowedOrigins = [],
      queue = {},
    }: {
      clock?: Clock;
      text?: TextPort;
      live?: LivePort;
      page?: Page;
      keys?: KeyRing;
      allowedOrigins?: readonly string[];
      queue?: Partial<AdmissionQueueOptions>;
    } = {},
  ) {
    this.sessions = script instanceof ScriptedSessions ? script : new ScriptedSessions(script);
    const room = () => ({ sessions: 100, tokens: Number.POSITIVE_INFINITY });
    this.queue = new AdmissionQueue({ clock, room, waitingMax: 100, patienceMs: 60_000, ...queue });
    this.app = createApp({
      sessions: this.sessions,
      queue: this.queue,
      text,
      metrics: this.metrics,
      clock,
      log: this.log,
      live,
      page,
      keys,
      allowedOrigins,
    });
    const fetch = async (...args: Parameters<typeof this.app.fetch>): Promise<Response> => {
      const [request] = args;
      const response = await this.app.fetch(...args);
      const type = response.headers.get("content-type") ?? "";
      const text = type.startsWith("application/json") ? await response.clone().text() : undefined;
      this.#undescribed.push(...described.problems(request, response, text));
      return response;
    };
    this.#server = serveHttp({ fetch }, { hostname: "127.0.0.1", port: 0 });
    this.url = this.#server.url;
    this.client = new OpenAI({ baseURL: `${this.url}/v1`, apiKey: "none", maxRetries: 0 });
  }

  post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
      ...init,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop();
    if (this.#undescribed.length > 0) throw new Error(this.#undescribed.join("\n"));
  }
}
