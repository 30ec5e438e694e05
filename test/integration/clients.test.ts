import { afterAll, beforeAll, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { AIMessage, HumanMessage, type UsageMetadata } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, jsonSchema, streamText, type ToolSet, tool } from "ai";
import OpenAI from "openai";
import { type RunningMesh, startMesh } from "../../bench/running-mesh.ts";

const MINUTES = 60_000;
const MAX_TOKENS = 40;
/** Enough for the whole call. */
const CALL_TOKENS = 100;
const QUESTION = "What is the capital of France?";
const FOLLOW_UP = "And of Italy?";
const TOOL = { name: "get_weather", description: "Tells the weather in a city" };
const parameters = {
  type: "object" as const,
  properties: { city: { enum: ["Paris", "Rome"] }, days: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["city", "days"],
  additionalProperties: false,
};
const namedChoice = { type: "function" as const, function: { name: TOOL.name } };
const functionTool = { type: "function" as const, function: { ...TOOL, parameters } };

let mesh: RunningMesh;
let client: OpenAI;
/** Greedy answers as plain HTTP brings them, in two turns and with the tool: what every client must get, too. */
let first: string;
let second: string;
let call: { city: string; days: number };

beforeAll(async () => {
  mesh = await startMesh("--stages", "2");
  client = new OpenAI({ baseURL: `${mesh.url}/v1`, apiKey: "none", maxRetries: 0 });
  first = (await post([user(QUESTION)])).content;
  second = (await post([user(QUESTION), { role: "assistant", content: first }, user(FOLLOW_UP)])).content;
  const withTool = await post([user(QUESTION)], {
    tools: [functionTool],
    tool_choice: namedChoice,
    max_tokens: CALL_TOKENS,
  });
  call = JSON.parse(withTool.tool_calls[0].function.arguments);
}, 6 * MINUTES);

afterAll(async () => {
  await mesh.stop();
});

const user = (content: string) => ({ role: "user" as const, content });

async function post(messages: object[], more: object = {}) {
  const response = await fetch(`${mesh.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "default", temperature: 0, max_tokens: MAX_TOKENS, messages, ...more }),
  });
  expect(response.status).toBe(200);
  return (await response.json()).choices[0].message;
}

test("plain HTTP: both turns have text, and the call fits the tool", () => {
  expect(first.length).toBeGreaterThan(0);
  expect(second.length).toBeGreaterThan(0);
  expect(parameters.properties.city.enum).toContain(call.city);
  expect(call.days).toBeWithin(1, 10);
});

test(
  "openai: the streaming helper holds a chat and a tool call",
  async () => {
    const shared = { model: "default", temperature: 0, max_tokens: MAX_TOKENS };
    const messages: OpenAI.ChatCompletionMessageParam[] = [user(QUESTION)];
    let streamed = "";
    const stream = client.chat.completions
      .stream({ ...shared, messages, stream_options: { include_usage: true } })
      .on("content", (delta) => {
        streamed += delta;
      });
    expect(await stream.finalContent()).toBe(first);
    expect(streamed).toBe(first);
    expect((await stream.totalUsage()).completion_tokens).toBeWithin(1, MAX_TOKENS + 1);
    messages.push({ role: "assistant", content: first }, user(FOLLOW_UP));
    expect(await client.chat.completions.stream({ ...shared, messages }).finalContent()).toBe(second);

    const asked: unknown[] = [];
    const runner = client.chat.completions.runTools({
      ...shared,
      stream: true,
      messages: [user(QUESTION)],
      max_tokens: CALL_TOKENS,
      tool_choice: namedChoice,
      tools: [
        {
          type: "function",
          function: {
            ...TOOL,
            parameters,
            parse: JSON.parse,
            function: (input: object) => {
              asked.push(input);
              return "sunny";
            },
          },
        },
      ],
    });
    await runner.done();
    expect(asked).toEqual([call]);
  },
  2 * MINUTES,
);

test(
  "Vercel AI SDK: chats, streamed and not, and calls a tool",
  async () => {
    const provider = createOpenAICompatible({
      name: "flowmesh",
      baseURL: `${mesh.url}/v1`,
      includeUsage: true,
    });
    const shared = {
      model: provider.chatModel("default"),
      temperature: 0,
      maxOutputTokens: MAX_TOKENS,
      maxRetries: 0,
    };
    const stream = streamText({ ...shared, messages: [user(QUESTION)] });
    expect(await Array.fromAsync(stream.textStream).then((parts) => parts.join(""))).toBe(first);
    expect((await stream.usage).outputTokens).toBeWithin(1, MAX_TOKENS + 1);
    const messages = [user(QUESTION), { role: "assistant" as const, content: first }, user(FOLLOW_UP)];
    expect((await generateText({ ...shared, messages })).text).toBe(second);

    const tools: ToolSet = {
      [TOOL.name]: tool({
        description: TOOL.description,
        inputSchema: jsonSchema(parameters as object),
      }),
    };
    const withTools = {
      ...shared,
      maxOutputTokens: CALL_TOKENS,
      messages: [user(QUESTION)],
      tools,
      toolChoice: { type: "tool" as const, toolName: TOOL.name },
    };
    const whole = await generateText(withTools);
    expect(whole.toolCalls.map(({ toolName, input }) => [toolName, input])).toEqual([[TOOL.name, call]]);
    expect(whole.finishReason).toBe("tool-calls");
    const streamed = await streamText(withTools).toolCalls;
    expect(streamed.map(({ toolName, input }) => [toolName, input])).toEqual([[TOOL.name, call]]);
  },
  2 * MINUTES,
);

test(
  "LangChain.js: chats, streamed and not, and calls a tool",
  async () => {
    const shared = {
      model: "default",
      apiKey: "none",
      configuration: { baseURL: `${mesh.url}/v1` },
      temperature: 0,
      maxRetries: 0,
    };
    const model = new ChatOpenAI({ ...shared, maxTokens: MAX_TOKENS });
    const question = new HumanMessage(QUESTION);
    const parts = await Array.fromAsync(await model.stream([question]));
    expect(parts.map(({ text }) => text).join("")).toBe(first);
    // Their types lose the field on the way through the stream.
    const told = parts.flatMap(
      (part) => (part.usage_metadata as UsageMetadata | undefined)?.output_tokens ?? [],
    );
    expect(told.at(-1)).toBeWithin(1, MAX_TOKENS + 1);
    const reply = await model.invoke([question, new AIMessage(first), new HumanMessage(FOLLOW_UP)]);
    expect(reply.text).toBe(second);

    const withTool = new ChatOpenAI({ ...shared, maxTokens: CALL_TOKENS }).bindTools([functionTool], {
      tool_choice: namedChoice,
    });
    const called = await withTool.invoke([question]);
    expect(called.tool_calls?.map(({ name, args }) => [name, args])).toEqual([[TOOL.name, call]]);
    const [head, ...rest] = await Array.fromAsync(await withTool.stream([question]));
    const joined = rest.reduce((all, part) => all.concat(part), head!);
    expect(joined.tool_calls?.map(({ name, args }) => [name, args])).toEqual([[TOOL.name, call]]);
  },
  2 * MINUTES,
);
