import { describe, expect, test } from "bun:test";
import { hashKey } from "../../http/api-keys.ts";
import { bytes } from "./byte-text.ts";
import { ScriptedSessions } from "./scripted-sessions.ts";
import { ServedGateway } from "./served-gateway.ts";

const endless = () => new ScriptedSessions({ commits: [bytes("Once")], end: "never" });
const ONE = () => ({ sessions: 1, tokens: Number.POSITIVE_INFINITY });
const body = { model: "default", messages: [{ role: "user", content: "hi" }] };
const path = "/v1/chat/completions";

const keyOf = (name: string) => ({
  name,
  sha256: hashKey(`key-${name}`),
  created: "2026-01-01T00:00:00Z",
});
const as = (name: string) => ({
  headers: { authorization: `Bearer key-${name}`, "content-type": "application/json" },
});

const turn = () => new Promise((resolve) => setImmediate(resolve));
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

describe("a gateway whose mesh has no room", () => {
  test("answers 429 with Retry-After when its queue is full, and 503 after the time of those that wait", async () => {
    await using gateway = new ServedGateway(endless(), {
      queue: { room: ONE, waitingMax: 1, patienceMs: 300 },
    });
    const running = gateway.post(path, { ...body, stream: true });
    await until(() => gateway.sessions.opened.length === 1);
    const waiting = gateway.post(path, body);
    await until(() => gateway.queue.waiting === 1);
    const full = await gateway.post(path, body);
    const late = await waiting;
    expect([full.status, late.status]).toEqual([429, 503]);
    for (const response of [full, late]) expect(response.headers.get("retry-after")).toBe("1");
    expect((await full.json()).error).toMatchObject({ type: "rate_limit_error", code: "queue_full" });
    expect((await late.json()).error).toMatchObject({ type: "server_error", code: "queue_timeout" });
    gateway.sessions.last.cancel("enough");
    await running;
    expect(gateway.sessions.opened).toHaveLength(1);
  });

  test("lets the next one in when a session ends, by turns between keys", async () => {
    const keys = ["one", "two"].map(keyOf);
    await using gateway = new ServedGateway(endless(), {
      keys: { keys: () => keys },
      queue: { room: ONE },
    });
    const asked: Promise<Response>[] = [];
    for (const [index, name] of ["one", "one", "one", "two"].entries()) {
      asked.push(gateway.post(path, { ...body, max_tokens: 50 + index }, as(name)));
      await until(() => gateway.sessions.opened.length + gateway.queue.waiting === index + 1);
    }
    for (let ended = 0; ended < 4; ended++) {
      await until(() => gateway.sessions.opened.length === ended + 1);
      gateway.sessions.last.cancel("enough");
    }
    await Promise.all(asked);
    expect(gateway.sessions.opened.map(({ request }) => request.maxTokens)).toEqual([50, 51, 53, 52]);
  });

  test("forgets a request whose client leaves while it waits, and opens nothing for it", async () => {
    await using gateway = new ServedGateway(endless(), { queue: { room: ONE } });
    const running = gateway.post(path, { ...body, stream: true });
    await until(() => gateway.sessions.opened.length === 1);
    const leaving = new AbortController();
    const gone = gateway.post(path, body, {
      signal: leaving.signal,
      headers: { "content-type": "application/json" },
    });
    gone.catch(() => {});
    await until(() => gateway.queue.waiting === 1);
    leaving.abort();
    await until(() => gateway.queue.waiting === 0);
    gateway.sessions.last.cancel("enough");
    await running;
    expect(gateway.sessions.opened).toHaveLength(1);
  });
});
