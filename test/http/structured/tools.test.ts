import { describe, expect, test } from "bun:test";
import { callStart } from "../../../http/structured/tool-use.ts";
import { bytes, END_TOKEN } from "../byte-text.ts";
import { ServedGateway } from "../served-gateway.ts";

const messages = [{ role: "user" as const, content: "What is the weather?" }];
const weather = {
  type: "function" as const,
  function: {
    name: "get_weather",
    description: "Tells the weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const now = { type: "function" as const, function: { name: "now" } };
const tools = [weather, now];
const CALL = `${callStart("get_weather")}{"city": "Zürich}"}}\n</tool_call>`;
const OTHER = `${callStart("now")}{}}\n</tool_call>`;

/** The text as commits of `size` tokens, and the end. */
function commitsOf(text: string, size: number): number[][] {
  const tokens = [...bytes(text), END_TOKEN];
  return Array.from({ length: Math.ceil(tokens.length / size) }, (_, i) =>
    tokens.slice(i * size, (i + 1) * size),
  );
}

const grammarOf = (gateway: ServedGateway) =>
  JSON.parse(gateway.sessions.last.request.grammar ?? "{}").format;

describe("calls of tools", () => {
  test.each([1, 2, 3, 7, 1000])("are told whole and streamed, by commits of %p tokens", async (size) => {
    await using gateway = new ServedGateway({ commits: commitsOf(`Let me <see>. ${CALL}\n${OTHER}`, size) });
    const request = { model: "default", messages, tools, max_tokens: 300 };
    const whole = (await gateway.client.chat.completions.create(request)).choices[0]!;
    expect(whole.finish_reason).toBe("tool_calls");
    expect(whole.message.content).toBe("Let me <see>. ");
    const calls = whole.message.tool_calls ?? [];
    expect(calls.map((call) => call.type === "function" && call.function)).toEqual([
      { name: "get_weather", arguments: '{"city": "Zürich}"}' },
      { name: "now", arguments: "{}" },
    ]);
    const streamed = await gateway.client.chat.completions.stream(request).finalChatCompletion();
    const [choice] = streamed.choices;
    expect(choice!.finish_reason).toBe("tool_calls");
    expect(choice!.message.content).toBe("Let me <see>. ");
    const unnamed = (all: typeof calls) => all.map(({ id: _, ...call }) => call as unknown);
    const told = choice!.message.tool_calls ?? [];
    expect(
      told.map((call) => call.type === "function" && [call.function.name, call.function.arguments]),
    ).toEqual(calls.map((call) => call.type === "function" && [call.function.name, call.function.arguments]));
    expect(unnamed(told)).toHaveLength(2);
    expect(new Set([...calls, ...told].map(({ id }) => id)).size).toBe(4);
  });

  test("are streamed as index, id, type and name first, then arguments alone", async () => {
    await using gateway = new ServedGateway({ commits: commitsOf(`${CALL}\n${OTHER}`, 5) });
    const stream = await gateway.client.chat.completions.create({
      model: "default",
      messages,
      tools,
      tool_choice: "required",
      stream: true,
    });
    const deltas: unknown[] = [];
    const reasons: unknown[] = [];
    for await (const chunk of stream) {
      deltas.push(...(chunk.choices[0]?.delta.tool_calls ?? []));
      expect(chunk.choices[0]?.delta.content ?? "").toBe("");
      reasons.push(chunk.choices[0]?.finish_reason);
    }
    expect(deltas[0]).toEqual({
      index: 0,
      id: expect.stringMatching(/^call_[0-9a-f]{24}$/),
      type: "function",
      function: { name: "get_weather", arguments: "" },
    });
    expect(deltas[1]).toEqual({ index: 0, function: { arguments: expect.any(String) } });
    expect(deltas.filter((one) => Object.hasOwn(one as object, "id"))).toHaveLength(2);
    expect(reasons.filter((reason) => reason !== null)).toEqual(["tool_calls"]);
  });

  test("that the token limit cuts end with length", async () => {
    await using gateway = new ServedGateway({ commits: commitsOf(CALL, 4) });
    const max_tokens = callStart("get_weather").length + 4;
    const { choices } = await gateway.client.chat.completions.create({
      model: "default",
      messages,
      tools,
      max_tokens,
    });
    expect(choices[0]!.finish_reason).toBe("length");
    expect(choices[0]!.message.tool_calls).toMatchObject([{ function: { arguments: '{"ci' } }]);
  });

  test("text that only looks like the beginning of a call is text", async () => {
    await using gateway = new ServedGateway({ commits: commitsOf("a <tool_cal", 3) });
    const { choices } = await gateway.client.chat.completions.create({ model: "default", messages, tools });
    expect(choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "a <tool_cal" } });
    expect(choices[0]!.message).not.toHaveProperty("tool_calls");
  });
});

describe("tool_choice", () => {
  const asked = async (fields: object) => {
    await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
    const response = await gateway.post("/v1/chat/completions", { messages, ...fields });
    expect(response.status).toBe(200);
    const { grammar } = gateway.sessions.last.request;
    return grammar === undefined ? undefined : JSON.parse(grammar).format;
  };

  test("auto leaves text free until a call begins, and none all of it", async () => {
    expect(await asked({ tools })).toMatchObject({ type: "triggered_tags", stop_after_first: false });
    expect(await asked({ tools, tool_choice: "auto", parallel_tool_calls: false })).toMatchObject({
      stop_after_first: true,
    });
    expect(await asked({ tools, tool_choice: "none" })).toBeUndefined();
    expect(await asked({ tools: [] })).toBeUndefined();
  });

  test("required means at least one call, and a named function one call of it", async () => {
    const required = await asked({ tools, tool_choice: "required" });
    expect(required).toMatchObject({
      type: "tags_with_separator",
      at_least_one: true,
      stop_after_first: false,
    });
    expect(required.tags).toHaveLength(2);
    const named = await asked({ tools, tool_choice: { type: "function", function: { name: "now" } } });
    expect(named).toMatchObject({ at_least_one: true, stop_after_first: true });
    expect(named.tags.map((tag: { begin: string }) => tag.begin)).toEqual([callStart("now")]);
  });
});

test("response_format binds the answer, and is text by default", async () => {
  await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
  const schema = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };
  for (const response_format of [
    { type: "json_object" },
    { type: "json_schema", json_schema: { name: "x", schema, strict: true } },
  ]) {
    await gateway.post("/v1/chat/completions", { messages, response_format });
    expect(grammarOf(gateway)).toMatchObject({
      type: "grammar",
      grammar: expect.stringMatching(/^root ::= /),
    });
  }
  await gateway.post("/v1/chat/completions", { messages, response_format: { type: "text" } });
  expect(gateway.sessions.last.request).not.toHaveProperty("grammar");
});

test("the conversation may hold calls and their results", async () => {
  await using gateway = new ServedGateway({ commits: [[END_TOKEN]] });
  const call = { id: "call_1", type: "function", function: { name: "now", arguments: "{}" } };
  const conversation = [
    ...messages,
    { role: "assistant", content: null, tool_calls: [call] },
    { role: "tool", tool_call_id: "call_1", content: "12:00" },
  ];
  const response = await gateway.post("/v1/chat/completions", { messages: conversation, tools });
  expect(response.status).toBe(200);
});

const withSchema = (schema: unknown) => ({
  response_format: { type: "json_schema", json_schema: { name: "x", schema } },
});
const called = (args: string) => ({
  messages: [
    {
      role: "assistant",
      tool_calls: [{ id: "1", type: "function", function: { name: "f", arguments: args } }],
    },
  ],
});

test.each([
  [
    "response_format.json_schema.schema.properties.a.pattern",
    withSchema({ properties: { a: { pattern: "(?=x)" } } }),
  ],
  [
    "response_format.json_schema.name",
    { response_format: { type: "json_schema", json_schema: { schema: {} } } },
  ],
  ["response_format.type", { response_format: { type: "xml" } }],
  ["response_format", { response_format: { type: "json_object" }, tools }],
  [
    "tools[0].function.parameters.not",
    { tools: [{ type: "function", function: { name: "f", parameters: { not: {} } } }] },
  ],
  ["tools[0].function.name", { tools: [{ type: "function", function: { name: "a b" } }] }],
  ["tools[1].function.name", { tools: [now, now] }],
  ["tools[0].type", { tools: [{ type: "web_search" }] }],
  ["tool_choice", { tool_choice: "required" }],
  ["tool_choice", { tools, tool_choice: "maybe" }],
  ["tool_choice.function.name", { tools, tool_choice: { type: "function", function: { name: "none" } } }],
  ["messages[0].tool_calls[0].function.arguments", called("{")],
  [
    "response_format.json_schema.schema",
    withSchema({ enum: Array.from({ length: 400 }, (_, i) => `${i}`.padEnd(90, "x")) }),
  ],
])("%s at fault is a 400 that names it", async (param, fields) => {
  await using gateway = new ServedGateway();
  const response = await gateway.post("/v1/chat/completions", { messages, ...fields });
  expect(response.status).toBe(400);
  const { error } = (await response.json()) as { error: { param: string; message: string } };
  expect(error.param).toBe(param);
  expect(gateway.sessions.opened).toEqual([]);
});
