import { describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { SessionError } from "../../actors/session-port.ts";
import { MAX_BODY_BYTES, MAX_NESTING } from "../../http/request-body.ts";
import { bytes, END_TOKEN } from "./byte-text.ts";
import { eventData } from "./described-api.ts";
import { ScriptedSessions } from "./scripted-sessions.ts";
import { ServedGateway } from "./served-gateway.ts";

const messages = [{ role: "user" as const, content: "hi" }];
const question = { model: "default", messages };

/** The openai client's error for a request that must fail. */
async function failure(
  gateway: ServedGateway,
  body: object = {},
): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await gateway.client.chat.completions.create({ ...question, ...body });
  } catch (error) {
    if (error instanceof OpenAI.APIError) return error;
    throw error;
  }
  throw new Error("the request was answered");
}

/** Checks the form that both OpenAI clients parse, and returns the error object. */
async function errorOf(response: Response) {
  const body = await response.json();
  expect(Object.keys(body)).toEqual(["error"]);
  expect(Object.keys(body.error).sort()).toEqual(["code", "message", "param", "type"]);
  expect(typeof body.error.message).toBe("string");
  expect(typeof body.error.code).toBe("string");
  expect(response.headers.get("x-request-id")).toBeTruthy();
  return body.error;
}

describe("a field at fault is named with status 400", () => {
  const image = { type: "image_url", image_url: { url: "data:," } };
  test.each<[string, Record<string, unknown>]>([
    ["messages", { messages: undefined }],
    ["messages", { messages: [] }],
    ["messages", { messages: "hi" }],
    ["messages[0]", { messages: ["hi"] }],
    ["messages[1].role", { messages: [...messages, { role: "function", content: "x" }] }],
    ["messages[1].tool_call_id", { messages: [...messages, { role: "tool", content: "x" }] }],
    ["messages[0].content", { messages: [{ role: "user", content: null }] }],
    ["messages[0].content", { messages: [{ role: "user", content: [] }] }],
    ["messages[0].content", { messages: [{ role: "user" }] }],
    [
      "messages[0].content[1].type",
      { messages: [{ role: "user", content: [{ type: "text", text: "" }, image] }] },
    ],
    ["messages[0].content[0].text", { messages: [{ role: "user", content: [{ type: "text" }] }] }],
    ["messages[0].tool_calls[0].id", { messages: [{ role: "assistant", content: "", tool_calls: [{}] }] }],
    ["messages", { messages: [{ role: "user", content: "unrenderable" }] }],
    ["model", { model: 5 }],
    ["max_tokens", { max_tokens: 0 }],
    ["max_tokens", { max_tokens: 1.5 }],
    ["max_completion_tokens", { max_completion_tokens: -1 }],
    ["temperature", { temperature: 2.01 }],
    ["temperature", { temperature: "1" }],
    ["top_p", { top_p: 0 }],
    ["top_p", { top_p: 1.1 }],
    ["top_k", { top_k: -1 }],
    ["min_p", { min_p: -0.1 }],
    ["min_p", { min_p: 1.01 }],
    ["repetition_penalty", { repetition_penalty: 0 }],
    ["repetition_penalty", { repetition_penalty: -1 }],
    ["repetition_penalty", { repetition_penalty: 101 }],
    ["presence_penalty", { presence_penalty: 2.1 }],
    ["presence_penalty", { presence_penalty: "1" }],
    ["frequency_penalty", { frequency_penalty: -2.1 }],
    ["logit_bias", { logit_bias: [1] }],
    ["logit_bias", { logit_bias: "5" }],
    ["logit_bias.5", { logit_bias: { "5": 100.5 } }],
    ["logit_bias.5", { logit_bias: { "5": "1" } }],
    ["logit_bias.05", { logit_bias: { "05": 1 } }],
    ["logit_bias.-1", { logit_bias: { "-1": 1 } }],
    ["logit_bias.five", { logit_bias: { five: 1 } }],
    ["logit_bias.257", { logit_bias: { "256": 1, "257": 1 } }],
    ["logit_bias", { logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, 1])) }],
    ["seed", { seed: 1e300 }],
    ["seed", { seed: 0.5 }],
    ["stop", { stop: ["a", "b", "c", "d", "e"] }],
    ["stop", { stop: "" }],
    ["stop[1]", { stop: ["a", ""] }],
    ["stop", { stop: "\ud83d" }],
    ["stop[0]", { stop: [1] }],
    ["n", { n: 0 }],
    ["n", { n: 17 }],
    ["stream", { stream: "yes" }],
    ["stream_options.include_usage", { stream_options: { include_usage: 1 } }],
    ["flowmesh.policy", { flowmesh: { policy: 3 } }],
    ["flowmesh.policy", { flowmesh: { policy: "guesswork" } }],
    ["flowmesh.policy", { flowmesh: { policy: "flowspec:total=many" } }],
    ["flowmesh.policy", { flowmesh: { policy: "autoregressive:total=1" } }],
    ["flowmesh.policy", { flowmesh: { policy: "pipedec" } }],
    ["flowmesh.policy", { flowmesh: { policy: "flowspec:k=3" } }],
    ["flowmesh.policy", { flowmesh: { policy: "flowspec:topK=0" } }],
    ["functions", { functions: [{ name: "f" }] }],
    ["function_call", { function_call: { name: "f" } }],
    ["logprobs", { logprobs: 1 }],
    ["top_logprobs", { logprobs: true, top_logprobs: 21 }],
    ["flowmesh.drafter", { flowmesh: { drafter: "No Name" } }],
    ["flowmesh.numerics", { flowmesh: { numerics: "precise" } }],
    ["flowmesh.polizy", { flowmesh: { polizy: "flowspec" } }],
    ["min_tokens", { min_tokens: 3 }],
    ["store", { store: true }],
    ["prediction", { prediction: { type: "content", content: "x" } }],
    ["reasoning_effort", { reasoning_effort: "high" }],
    ["top_logprobs", { top_logprobs: 2 }],
    ["modalities", { modalities: ["text", "audio"] }],
    ["audio", { audio: { voice: "x", format: "wav" } }],
    ["web_search_options", { web_search_options: {} }],
  ])("%s in %j", async (param, fields) => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const error = await errorOf(await gateway.post("/v1/chat/completions", { ...question, ...fields }));
    expect(error).toMatchObject({ param, type: "invalid_request_error" });
    expect(error.message.length).toBeGreaterThan(param.length);
    expect(gateway.sessions.opened).toHaveLength(0);
  });

  test.each<[string, Record<string, unknown>]>([
    ["prompt", {}],
    ["prompt", { prompt: 5 }],
    ["prompt", { prompt: "" }],
    ["prompt", { prompt: [] }],
    ["prompt", { prompt: [[]] }],
    ["prompt[0]", { prompt: [-1] }],
    ["prompt[1]", { prompt: [1, "x"] }],
    ["prompt", { prompt: [1, 257] }],
    ["prompt[1]", { prompt: ["a", "b"] }],
    ["prompt", { prompt: { text: "a" } }],
    ["suffix", { prompt: "a", suffix: "b" }],
    ["echo", { prompt: "a", echo: true }],
    ["best_of", { prompt: "a", best_of: 2 }],
    ["logprobs", { prompt: "a", logprobs: 6 }],
    ["messages", { prompt: "a", messages: [] }],
  ])("completions: %s in %j", async (param, fields) => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const response = await gateway.post("/v1/completions", fields);
    expect(response.status).toBe(400);
    const error = await errorOf(response);
    // Items of a prompt have the prompt's place in front, or the prompt as a whole is at fault.
    expect([param, "prompt[0]"]).toContain(error.param);
    expect(gateway.sessions.opened).toHaveLength(0);
  });
});

describe("requests that are no questions", () => {
  test.each([
    ["", 400, "invalid_json"],
    ['{"messages": [', 400, "invalid_json"],
    ["[]", 400, "invalid_value"],
    ["null", 400, "invalid_value"],
    ['"text"', 400, "invalid_value"],
  ])("body %j", async (body, status, code) => {
    await using gateway = new ServedGateway();
    const response = await gateway.post("/v1/chat/completions", body);
    expect(response.status).toBe(status);
    expect((await errorOf(response)).code).toBe(code);
  });

  test("a body that is not UTF-8", async () => {
    await using gateway = new ServedGateway();
    const body = Uint8Array.of(...bytes('{"model":"'), 0xff, ...bytes('"}'));
    const response = await gateway.post("/v1/chat/completions", "", { body });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).code).toBe("invalid_json");
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "application/jsonp"])(
    "content type %s",
    async (type) => {
      await using gateway = new ServedGateway();
      const response = await gateway.post("/v1/chat/completions", question, {
        headers: { "content-type": type },
      });
      expect(response.status).toBe(415);
      expect((await errorOf(response)).message).toContain(type);
    },
  );

  test("JSON with a charset is JSON", async () => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const headers = { "content-type": "application/json; charset=utf-8" };
    expect((await gateway.post("/v1/chat/completions", question, { headers })).status).toBe(200);
  });

  test("a body past the bound, with its length told or not", async () => {
    await using gateway = new ServedGateway();
    const text = JSON.stringify({ ...question, user: "x".repeat(MAX_BODY_BYTES) });
    const told = await gateway.post("/v1/chat/completions", text);
    expect(told.status).toBe(413);
    expect((await errorOf(told)).code).toBe("request_too_large");
    const chunked = await gateway.post("/v1/chat/completions", "", {
      body: new ReadableStream({
        start(controller) {
          for (const byte of text.match(/.{1,65536}/gs) ?? [])
            controller.enqueue(new TextEncoder().encode(byte));
          controller.close();
        },
      }),
    });
    expect(chunked.status).toBe(413);
    await errorOf(chunked);
  });

  test("a body just below the bound is read", async () => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const room = MAX_BODY_BYTES - JSON.stringify({ ...question, user: "" }).length;
    const response = await gateway.post("/v1/chat/completions", { ...question, user: "x".repeat(room) });
    expect(response.status).toBe(200);
  });

  test("nesting is bounded, and brackets within strings are text", async () => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const post = (metadata: string) =>
      gateway.post(
        "/v1/chat/completions",
        `${JSON.stringify(question).slice(0, -1)},"metadata":{"a":${metadata}}}`,
      );
    const lists = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
    expect((await post(lists(MAX_NESTING - 2))).status).toBe(200);
    const tooDeep = await post(lists(MAX_NESTING - 1));
    expect(tooDeep.status).toBe(400);
    expect((await errorOf(tooDeep)).message).toContain(`deeper than ${MAX_NESTING}`);
    expect((await post(JSON.stringify(`"\\"${"[{".repeat(MAX_NESTING)}`))).status).toBe(200);
  });

  test("an unknown path, and a known one with the wrong method", async () => {
    await using gateway = new ServedGateway();
    const unknown = await fetch(`${gateway.url}/v1/embeddings`, { method: "POST" });
    expect(unknown.status).toBe(404);
    expect((await errorOf(unknown)).message).toContain("/v1/embeddings");
    const wrong = await fetch(`${gateway.url}/v1/chat/completions`);
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get("allow")).toBe("POST");
    await errorOf(wrong);
  });
});

describe("errors that the openai client raises", () => {
  test("NotFoundError for an unknown model, with the ids that there are", async () => {
    await using gateway = new ServedGateway();
    const error = await failure(gateway, { model: "gpt-4o" });
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: "model_not_found", param: "model", type: "invalid_request_error" });
    expect(error.message).toContain("tiny-model, default");
    expect(error.requestID).toBeTruthy();
  });

  test("BadRequestError for a prompt beyond the context, with both lengths", async () => {
    await using gateway = new ServedGateway();
    const error = await failure(gateway, { messages: [{ role: "user", content: "x".repeat(393) }] });
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ code: "context_length_exceeded", param: "messages" });
    expect(error.message).toContain("400 tokens long");
    expect(error.message).toContain("context is 400 tokens");
  });

  test("a prompt that leaves room for one token is served", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("a")] });
    const completion = await gateway.client.chat.completions.create({
      ...question,
      messages: [{ role: "user", content: "x".repeat(392) }],
    });
    expect(completion.choices[0]).toMatchObject({ finish_reason: "length", message: { content: "a" } });
  });

  test.each([
    ["busy", OpenAI.RateLimitError, 429, true],
    ["not_ready", OpenAI.InternalServerError, 503, true],
    ["invalid", OpenAI.BadRequestError, 400, false],
    ["failed", OpenAI.InternalServerError, 500, false],
  ] as const)("a session refused as %s", async (code, type, status, retries) => {
    await using gateway = new ServedGateway();
    gateway.sessions.refusal = new SessionError(code, `refused as ${code}`, "temperature");
    const error = await failure(gateway);
    expect(error).toBeInstanceOf(type);
    expect(error.status).toBe(status);
    expect(error.message).toContain(`refused as ${code}`);
    if (code === "invalid") expect(error.param).toBe("temperature");
    expect(Number(error.headers?.get("retry-after")) > 0).toBe(retries);
  });

  test("a pipeline that is not ready refuses with its reason, before it looks at the model", async () => {
    await using gateway = new ServedGateway();
    gateway.sessions.state = {
      ...gateway.sessions.state,
      ready: false,
      modelId: "",
      reason: "stage 2 loads",
    };
    const error = await failure(gateway, { model: "anything" });
    expect(error.status).toBe(503);
    expect(error.message).toContain("stage 2 loads");
  });

  test("the client retries a busy mesh by itself", async () => {
    await using gateway = new ServedGateway({ commits: [[...bytes("ok"), END_TOKEN]] });
    const open = gateway.sessions.open.bind(gateway.sessions);
    let refusals = 0;
    gateway.sessions.open = (request) => {
      if (refusals++ === 0) throw new SessionError("busy", "4 sessions run");
      return open(request);
    };
    const completion = await gateway.client.chat.completions.create(question, { maxRetries: 1 });
    expect(completion.choices[0]?.message.content).toBe("ok");
    expect(refusals).toBe(2);
  });

  test("an unknown error keeps its text to the log", async () => {
    await using gateway = new ServedGateway();
    gateway.sessions.refusal = new TypeError("secret of the house");
    const error = await failure(gateway);
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect(error.message).not.toContain("secret");
    expect(gateway.log.records).toHaveLength(1);
    expect(gateway.log.records[0]?.fields).toMatchObject({ request: error.requestID ?? "" });
    expect(gateway.log.records[0]?.fields.error).toContain("secret of the house");
  });
});

describe("a failure after the answer began", () => {
  test("whole answers fail with the session's message", async () => {
    await using gateway = new ServedGateway({
      commits: [bytes("Half")],
      end: "error",
      message: "stage 1 is gone",
    });
    const error = await failure(gateway);
    expect(error.status).toBe(500);
    expect(error).toMatchObject({ code: "generation_failed" });
    expect(error.message).toContain("stage 1 is gone");
  });

  test("streams show the text so far, then raise, without a finish reason or [DONE]", async () => {
    await using gateway = new ServedGateway({
      commits: [bytes("Half")],
      end: "error",
      message: "stage 1 is gone",
    });
    const response = await gateway.post("/v1/chat/completions", { ...question, stream: true });
    const data = eventData(await response.text());
    expect(data).not.toContain("[DONE]");
    const events = data.map((one) => JSON.parse(one));
    expect(events.at(-1)).toEqual({
      error: { message: "stage 1 is gone", type: "server_error", param: null, code: "generation_failed" },
    });
    for (const event of events.slice(0, -1)) expect(event.choices[0].finish_reason).toBeNull();

    const texts: string[] = [];
    const stream = gateway.client.chat.completions.stream(question);
    stream.on("content", (text) => texts.push(text));
    await expect(stream.done()).rejects.toThrow("stage 1 is gone");
    expect(texts.join("")).toBe("Half");
  });

  test("a session that others cancelled is an error too", async () => {
    const sessions = new ScriptedSessions({
      commits: [bytes("Ha")],
      end: "cancelled",
      message: "the host drains",
    });
    await using gateway = new ServedGateway(sessions);
    const error = await failure(gateway);
    expect(error).toMatchObject({ status: 503, code: "generation_cancelled" });
    expect(error.message).toContain("the host drains");
  });

  test("a mesh that throws is cancelled and told to the log only", async () => {
    const sessions = new ScriptedSessions();
    const open = sessions.open.bind(sessions);
    sessions.open = async (request) => {
      const session = await open(request);
      return {
        id: session.id,
        ended: session.ended,
        cancel: (reason) => session.cancel(reason),
        commits: {
          [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error("socket of NATS closed")) }),
        },
      };
    };
    await using gateway = new ServedGateway(sessions);
    const response = await gateway.post("/v1/chat/completions", { ...question, stream: true });
    const last = JSON.parse(eventData(await response.text()).at(-1) ?? "");
    expect(last.error.code).toBe("internal_error");
    expect(gateway.log.records[0]?.fields.error).toContain("socket of NATS closed");
    expect(sessions.last.cancelReasons).toHaveLength(1);
  });
});
