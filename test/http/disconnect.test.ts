import { describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { bytes } from "./byte-text.ts";
import { ScriptedSessions } from "./scripted-sessions.ts";
import { ServedGateway } from "./served-gateway.ts";

const question = { model: "default", messages: [{ role: "user" as const, content: "hi" }] };
const endless = () => ({ commits: [bytes("Once"), bytes(" upon")], end: "never" as const });

/** What a promise came to; attached at once, so that no rejection is unhandled. */
const outcome = (promise: PromiseLike<unknown>): Promise<unknown> =>
  Promise.resolve(promise).catch((error: unknown) => error);

/** Resolves when the gateway's gauge of open sessions shows none. */
async function nothingActive(gateway: ServedGateway): Promise<void> {
  for (;;) {
    const text = await gateway.metrics.registry.metrics();
    if (/^flowmesh_sessions_active 0$/m.test(text)) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("a client that leaves", () => {
  test("while streaming: breaking out of the loop cancels the session", async () => {
    await using gateway = new ServedGateway(endless());
    const stream = await gateway.client.chat.completions.create({ ...question, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content === " upon") break;
    await gateway.sessions.last.cancelled.promise;
    await nothingActive(gateway);
  });

  test("while streaming, with no text under way: an abort cancels the session", async () => {
    await using gateway = new ServedGateway({ commits: [], end: "never" });
    const stream = await gateway.client.chat.completions.create({ ...question, stream: true });
    stream.controller.abort();
    await gateway.sessions.last.cancelled.promise;
    await nothingActive(gateway);
  });

  test("while waiting for a whole answer: an abort cancels the session", async () => {
    const opened = Promise.withResolvers<void>();
    await using gateway = new ServedGateway(
      new ScriptedSessions(() => {
        opened.resolve();
        return endless();
      }),
    );
    const abort = new AbortController();
    const answer = outcome(gateway.client.chat.completions.create(question, { signal: abort.signal }));
    await opened.promise;
    abort.abort();
    expect(await answer).toBeInstanceOf(OpenAI.APIUserAbortError);
    await gateway.sessions.last.cancelled.promise;
    await nothingActive(gateway);
    expect(await gateway.metrics.registry.metrics()).toContain(
      'flowmesh_sessions_total{reason="cancelled"} 1',
    );
  });

  test("while waiting for its turn: the session is cancelled as soon as it opens", async () => {
    const sessions = new ScriptedSessions(endless());
    const turn = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const open = sessions.open.bind(sessions);
    sessions.open = async (request) => {
      asked.resolve();
      await turn.promise;
      return open(request);
    };
    await using gateway = new ServedGateway(sessions);
    // Without a socket between, so that the abort is surely there before the session opens.
    const abort = new AbortController();
    const answer = gateway.app.fetch(
      new Request("http://gateway/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(question),
        signal: abort.signal,
      }),
    );
    await asked.promise;
    abort.abort();
    turn.resolve();
    expect((await answer).status).toBe(499);
    expect(sessions.last.cancelReasons).toContain("the client left");
    await nothingActive(gateway);
  });
});
