import { describe, expect, test } from "bun:test";
import { bytes, END_TOKEN } from "./byte-text.ts";
import { eventData } from "./described-api.ts";
import { ServedGateway } from "./served-gateway.ts";

describe("POST /v1/completions", () => {
  test("a whole completion", async () => {
    await using gateway = new ServedGateway({ commits: [bytes(" upon"), [...bytes(" a time"), END_TOKEN]] });
    const completion = await gateway.client.completions.create({ model: "default", prompt: "Once", seed: 1 });
    expect(completion).toMatchObject({
      object: "text_completion",
      model: "tiny-model",
      choices: [{ index: 0, text: " upon a time", logprobs: null, finish_reason: "stop" }],
      usage: { prompt_tokens: 4, completion_tokens: 13, total_tokens: 17 },
    });
    expect(completion.id).toMatch(/^cmpl-/);
    expect(completion).toHaveProperty("flowmesh.commits", 2);
    expect([...gateway.sessions.last.request.prompt]).toEqual(bytes("Once"));
    expect(gateway.sessions.last.request.maxTokens).toBe(16);
  });

  test("a stream", async () => {
    await using gateway = new ServedGateway({ commits: [bytes(" 世").slice(0, 2), bytes("世界").slice(1)] });
    const stream = await gateway.client.completions.create({
      model: "default",
      prompt: "x",
      max_tokens: 7,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map((chunk) => chunk.choices[0]?.text)).toEqual([" ", "世界", "", undefined]);
    expect(chunks.flatMap(({ choices }) => choices.map((one) => String(one.finish_reason)))).toEqual([
      "null",
      "null",
      "length",
    ]);
    expect(new Set(chunks.map(({ id, created }) => `${id} ${created}`)).size).toBe(1);
    expect(chunks.at(-1)?.usage?.total_tokens).toBe(8);
  });

  test("a stream without include_usage ends with the finish reason", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("a"), [END_TOKEN]] });
    const response = await gateway.post("/v1/completions", { prompt: "x", stream: true });
    const data = eventData(await response.text());
    expect(data.pop()).toBe("[DONE]");
    const last = JSON.parse(data.at(-1) ?? "");
    expect(last.choices).toEqual([{ index: 0, text: "", logprobs: null, finish_reason: "stop" }]);
    expect(last).not.toHaveProperty("usage");
  });

  test.each([
    ["text", "hé", bytes("hé")],
    ["token ids", [5, 0, 256], [5, 0, 256]],
    ["a batch of one text", ["hé"], bytes("hé")],
    ["a batch of one list of token ids", [[7, 8]], [7, 8]],
  ])("a prompt may be %s", async (_name, prompt, tokens) => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const response = await gateway.post("/v1/completions", { model: "tiny-model", prompt });
    expect(response.status).toBe(200);
    expect([...gateway.sessions.last.request.prompt]).toEqual(tokens);
  });
});
