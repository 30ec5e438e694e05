import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import { SessionError } from "../../../actors/session-port.ts";
import { answerRecordSchema } from "../../../cli/chat/answer-record.ts";
import { GatewayError } from "../../../http/chat-client.ts";
import { bytes, END_TOKEN } from "../../http/byte-text.ts";
import { ScriptedSessions } from "../../http/scripted-sessions.ts";
import { ServedGateway } from "../../http/served-gateway.ts";
import { chat, FIGURES, promptsOf } from "./played-chat.ts";

describe("one question", () => {
  test("is answered on stdout; the figures go to stderr", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("It is"), bytes(" 世界"), [END_TOKEN]] });
    const { stdout, stderr, done } = chat(gateway.url, {
      prompt: "What?",
      policy: "autoregressive",
      temperature: 0,
      topP: 0.5,
      topK: 3,
      minP: 0.1,
      repetitionPenalty: 1.1,
      presencePenalty: 0.2,
      frequencyPenalty: -0.3,
      seed: 9,
      maxTokens: 50,
    });
    await done;
    expect(stdout.text).toBe("It is 世界\n");
    const [, tokens, perCommit] = FIGURES.exec(stderr.text) ?? [];
    expect(tokens).toBe("13");
    expect(perCommit).toBe((13 / 3).toFixed(2));
    expect(gateway.sessions.last.request).toMatchObject({
      sampling: {
        temperature: 0,
        topP: 0.5,
        topK: 3,
        minP: 0.1,
        repetitionPenalty: 1.1,
        presencePenalty: 0.2,
        frequencyPenalty: -0.3,
        seed: 9,
      },
      maxTokens: 50,
      policy: "autoregressive",
    });
    expect(promptsOf(gateway.sessions)).toEqual(["[user]What?\n"]);
  });

  test("says when the answer was cut off", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("too long")] });
    const { stderr, done } = chat(`${gateway.url}/`, { prompt: "x", maxTokens: 3 });
    await done;
    expect(stderr.text).toContain("cut off at its token limit");
  });

  test("is cancelled by the signal, at the gateway too", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("For ever")], end: "never" });
    const { stdout, stderr, stop, done } = chat(gateway.url, { prompt: "x" });
    await stdout.shows("For ever");
    stop.abort();
    await done;
    expect(stdout.text).toBe("For ever\n");
    expect(stderr.text).toBe("(cancelled)\n");
    await gateway.sessions.last.cancelled.promise;
  });

  test("without a gateway says how to start one", async () => {
    const gateway = new ServedGateway();
    await gateway[Symbol.asyncDispose]();
    const { done } = chat(gateway.url, { prompt: "x" });
    const error = await done.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(GatewayError);
    expect(String(error)).toContain(gateway.url);
    expect(String(error)).toContain("./flowmesh up");
  });

  test("shows the gateway's own words when it refuses", async () => {
    await using gateway = new ServedGateway();
    const { done } = chat(gateway.url, { prompt: "x", model: "other" });
    await expect(done).rejects.toThrow(/answered 404: no model "other" here; .* tiny-model/);
    gateway.sessions.refusal = new SessionError("busy", "4 sessions run already");
    await expect(chat(gateway.url, { prompt: "x" }).done).rejects.toThrow("4 sessions run already");
  });

  test("shows what there was of an answer that failed, and why", async () => {
    await using gateway = new ServedGateway({
      commits: [bytes("Half")],
      end: "error",
      message: "stage 1 is gone",
    });
    const { stdout, done } = chat(gateway.url, { prompt: "x" });
    await expect(done).rejects.toThrow("stage 1 is gone");
    expect(stdout.text).toBe("Half\n");
  });

  test.each([
    ["other text", "it is a teapot", 418],
    ["an answer that is no stream", "{}", 200],
  ])("a server that is no gateway: %s", async (_name, body, status) => {
    const server = Bun.serve({ port: 0, fetch: () => new Response(body, { status }) });
    const { done } = chat(server.url.href, { prompt: "x" });
    await expect(done).rejects.toBeInstanceOf(GatewayError);
    await expect(chat(server.url.href).done).rejects.toThrow(/no flowmesh gateway|is it a flowmesh gateway/);
    await server.stop(true);
  });
});

describe("a conversation", () => {
  const replies = () =>
    new ScriptedSessions((request) => ({
      commits: [bytes(`#${request.prompt.length}`), [...request.stopTokens]],
    }));

  test("keeps what was said, until /clear", async () => {
    await using gateway = new ServedGateway(replies());
    const { stdin, stdout, stderr, done } = chat(gateway.url);
    stdin.end("one\n\n  two \n/clear\nthree\n/exit\nfour\n");
    expect(await done).toBe(0);
    expect(stdout.text).toBe("#10\n#35\n#12\n");
    expect(stderr.text).toContain("forgotten\n");
    expect(promptsOf(gateway.sessions)).toEqual([
      "[user]one\n",
      "[user]one\n[assistant]#10\n[user]two\n",
      "[user]three\n",
    ]);
  });

  test("goes on after an error, without the question that had no answer", async () => {
    await using gateway = new ServedGateway(replies());
    const { stdin, stdout, stderr, done } = chat(gateway.url);
    gateway.sessions.refusal = new SessionError("busy", "4 sessions run already");
    stdin.write("one\n");
    await stderr.shows("4 sessions run already");
    gateway.sessions.refusal = undefined;
    stdin.end("two\n");
    expect(await done).toBe(1);
    expect(stdout.text).toBe("#10\n");
    expect(promptsOf(gateway.sessions)).toEqual(["[user]two\n"]);
  });

  test("on a terminal, Ctrl-C stops the answer and keeps its beginning; at the prompt it leaves", async () => {
    const sessions = new ScriptedSessions((request) =>
      request.prompt.length < 12
        ? { commits: [bytes("For ever")], end: "never" }
        : { commits: [bytes("Fine."), [END_TOKEN]] },
    );
    await using gateway = new ServedGateway(sessions);
    const { stdin, stdout, stderr, done } = chat(gateway.url, {}, true);
    await stdout.shows("> ");
    expect(stderr.text).toContain("tiny-model on 3 stages, 400 tokens of context");
    stdin.write("one\r");
    await stdout.shows("For ever");
    stdin.write("\x03");
    await sessions.last.cancelled.promise;
    await stderr.shows(/\(cancelled\)/);
    stdin.write("two\r");
    await stderr.shows(FIGURES);
    expect(promptsOf(sessions).at(-1)).toBe("[user]one\n[assistant]For ever\n[user]two\n");
    await stdout.shows(/Fine\.\n(.|\n)*> /);
    stdin.write("\x03");
    expect(await done).toBe(0);
  });

  test("without a gateway ends at once", async () => {
    const gateway = new ServedGateway();
    await gateway[Symbol.asyncDispose]();
    await expect(chat(gateway.url).done).rejects.toThrow("./flowmesh up");
  });

  test("ends with its signal, also while it waits for a line", async () => {
    await using gateway = new ServedGateway(replies());
    const { stdout, stop, done } = chat(gateway.url, {}, true);
    await stdout.shows("> ");
    stop.abort();
    await done;
  });
});

describe("--json", () => {
  const recordsOf = (text: string) =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => v.parse(answerRecordSchema, JSON.parse(line)));

  test("has a line for each answer, and says what failed", async () => {
    const sessions = new ScriptedSessions(({ prompt }) =>
      prompt.length < 11
        ? { commits: [bytes("It\n"), bytes("is"), [END_TOKEN]] }
        : { commits: [bytes("Half")], end: "error", message: "stage 1 is gone" },
    );
    await using gateway = new ServedGateway(sessions);
    const { stdin, stdout, stderr, done } = chat(gateway.url, { json: true, policy: "flowspec", seed: 5 });
    stdin.end("/policy\none\nthree?\n");
    expect(await done).toBe(1);
    const [first, second, ...none] = recordsOf(stdout.text);
    expect(none).toEqual([]);
    expect(first).toMatchObject({
      question: "one",
      answer: "It\nis",
      model: "default",
      policy: "flowspec",
      finish_reason: "stop",
      seed: 5,
      usage: { prompt_tokens: 10, completion_tokens: 6 },
      commits: 3,
      draft_tokens: 21,
      accepted_tokens: 3,
      error: null,
    });
    expect(first!.seconds).toBeGreaterThanOrEqual(first!.first_token_seconds!);
    expect(second).toMatchObject({ question: "three?", answer: "Half", finish_reason: null, usage: null });
    expect(second?.error).toContain("stage 1 is gone");
    expect(stderr.text).toContain("policy: flowspec\n");
    expect(stderr.text).not.toMatch(FIGURES);
  });

  test("of one question tells that it was stopped", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("For ever")], end: "never" });
    const { stdout, stop, done } = chat(gateway.url, { prompt: "x", json: true });
    while (gateway.sessions.opened.length === 0) await Bun.sleep(5);
    stop.abort();
    await done;
    expect(recordsOf(stdout.text)).toMatchObject([{ question: "x", error: "cancelled" }]);
  });
});

test("a model can't write to the terminal but text", async () => {
  await using gateway = new ServedGateway({ commits: [bytes("a\u001b[2J\tb\r\nc\u009b"), [END_TOKEN]] });
  const { stdout, done } = chat(gateway.url, { prompt: "x" }, true);
  await done;
  expect(stdout.text).toBe("a\u241b[2J\tb\u240d\nc\ufffd\n");
  const piped = chat(gateway.url, { prompt: "x" });
  await piped.done;
  expect(piped.stdout.text).toBe("a\u001b[2J\tb\r\nc\u009b\n");
});
