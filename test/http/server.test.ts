import { describe, expect, test } from "bun:test";
import { KEEP_ALIVE_MS, STALLED_CLIENT_MS } from "../../http/event-stream.ts";
import { ListenError, serveHttp } from "../../http/server.ts";
import { SimulatedClock, settle } from "../simulated-clock.ts";
import { bytes, END_TOKEN } from "./byte-text.ts";
import { ScriptedSessions } from "./scripted-sessions.ts";
import { ServedGateway } from "./served-gateway.ts";

const streaming = { messages: [{ role: "user", content: "hi" }], stream: true };

describe("serveHttp", () => {
  test("a port in use is named, with the remedy", async () => {
    await using gateway = new ServedGateway();
    const port = Number(new URL(gateway.url).port);
    const listen = () => serveHttp(gateway.app, { hostname: "127.0.0.1", port });
    expect(listen).toThrow(ListenError);
    expect(listen).toThrow(`port ${port} on 127.0.0.1 is in use: choose another with --port`);
  });

  test("an address that is not this machine's is named", async () => {
    await using gateway = new ServedGateway();
    const listen = () => serveHttp(gateway.app, { hostname: "203.0.113.7", port: 0 });
    expect(listen).toThrow(ListenError);
    expect(listen).toThrow("203.0.113.7");
  });

  test("stop lets an answer under way finish and takes no other", async () => {
    const turn = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const sessions = new ScriptedSessions(() => ({ commits: [[...bytes("done"), END_TOKEN]] }));
    const open = sessions.open.bind(sessions);
    sessions.open = async (request) => {
      asked.resolve();
      await turn.promise;
      return open(request);
    };
    const gateway = new ServedGateway(sessions);
    const answer = gateway.post("/v1/chat/completions", { ...streaming, stream: false });
    await asked.promise;
    const stopped = gateway[Symbol.asyncDispose]();
    turn.resolve();
    const body = await (await answer).json();
    expect(body.choices[0].message.content).toBe("done");
    await stopped;
    await expect(fetch(`${gateway.url}/health`)).rejects.toThrow();
  });
});

test("only a question that is being answered may keep its connection open without a byte", async () => {
  await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
  let kept = 0;
  const send = (path: string, init: RequestInit = {}) =>
    gateway.app.request(path, init, {
      keepOpen: () => {
        kept++;
      },
    });
  const headers = { "content-type": "application/json" };
  await send("/health");
  await send("/v1/chat/completions", { method: "POST", headers, body: "{}" });
  expect(kept).toBe(0);
  for (const stream of [true, false]) {
    const body = JSON.stringify({ ...streaming, stream });
    await (await send("/v1/chat/completions", { method: "POST", headers, body })).text();
  }
  expect(kept).toBe(2);
});

describe("an event stream", () => {
  test("gets a comment each time the keep-alive interval passes, and none after its end", async () => {
    const clock = new SimulatedClock();
    const release = Promise.withResolvers<void>();
    const sessions = new ScriptedSessions();
    const open = sessions.open.bind(sessions);
    sessions.open = async (request) => {
      const session = await open(request);
      return {
        id: session.id,
        ended: session.ended,
        cancel: (reason) => session.cancel(reason),
        commits: (async function* () {
          await release.promise;
          yield* session.commits;
        })(),
      };
    };
    await using gateway = new ServedGateway(sessions, { clock });
    const response = await gateway.post("/v1/chat/completions", streaming);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    if (!reader) throw new Error("no body");
    let text = "";
    const readUntil = async (wanted: RegExp) => {
      while (!wanted.test(text)) text += (await reader.read()).value ?? "";
    };
    await readUntil(/assistant/);
    await clock.advance(KEEP_ALIVE_MS);
    await readUntil(/: keep-alive\n\n$/);
    await clock.advance(KEEP_ALIVE_MS);
    await readUntil(/(: keep-alive\n\n){2}$/);
    release.resolve();
    await readUntil(/data: \[DONE\]\n\n$/);
    expect((await reader.read()).done).toBe(true);
    expect(text.match(/keep-alive/g)).toHaveLength(2);
    expect(clock.pending).toBe(0);
  });

  test("is given up when its client reads nothing, and the session with it", async () => {
    const clock = new SimulatedClock();
    const long = Array.from({ length: 300 }, () => bytes("x"));
    await using gateway = new ServedGateway(new ScriptedSessions({ commits: long, end: "never" }), { clock });
    // Without a socket between, nothing is read but what this test reads.
    const response = await gateway.app.fetch(
      new Request("http://gateway/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(streaming),
      }),
    );
    expect(response.status).toBe(200);
    for (let turn = 0; turn < 50; turn++) await settle();
    const session = gateway.sessions.last;
    expect(session.stats.commits).toBeLessThan(long.length);
    await clock.advance(STALLED_CLIENT_MS - KEEP_ALIVE_MS);
    expect(session.cancelReasons).toEqual([]);
    await clock.advance(2 * KEEP_ALIVE_MS);
    await session.cancelled.promise;
    while (clock.pending > 0) {
      await clock.advance(1000);
      await settle();
    }
  });
});
