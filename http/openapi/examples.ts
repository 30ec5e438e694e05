/** Requests and replies as they are, for who reads the description. A test sends the requests. */

const chatEnvelope = {
  id: "chatcmpl-0d1f8a6c1b0c4d0f9a5d2f3b7c8e9a10",
  created: 1790000000,
  model: "SmolLM2-135M-Instruct",
  system_fingerprint: "fp_5b3c0f6f2a1d",
};
const completionEnvelope = { ...chatEnvelope, id: "cmpl-7a0f6f1f6ed44c0c8f43c0b8a86f3a55" };
const usage = { prompt_tokens: 37, completion_tokens: 8, total_tokens: 45 };
const account = { seed: 7, commits: 3, draft_tokens: 41, accepted_tokens: 5, segments: 12 };

export const CHAT_REQUESTS = {
  question: {
    summary: "A question",
    value: { model: "default", messages: [{ role: "user", content: "Why is the sky blue?" }], seed: 7 },
  },
  stream: {
    summary: "The same as a stream, with usage at its end",
    value: {
      model: "default",
      messages: [{ role: "user", content: "Why is the sky blue?" }],
      stream: true,
      stream_options: { include_usage: true },
    },
  },
  tool: {
    summary: "With a tool that must be called",
    value: {
      model: "default",
      messages: [{ role: "user", content: "What is the weather in Rome?" }],
      tools: [
        {
          type: "function",
          function: {
            name: "get_weather",
            description: "Tells the weather in a city",
            parameters: {
              type: "object",
              properties: { city: { enum: ["Paris", "Rome"] } },
              required: ["city"],
              additionalProperties: false,
            },
          },
        },
      ],
      tool_choice: "required",
    },
  },
  form: {
    summary: "An answer that fits a schema",
    value: {
      model: "default",
      messages: [{ role: "user", content: "Name a city and its country, as JSON." }],
      response_format: {
        type: "json_schema",
        json_schema: {
          name: "city",
          schema: {
            type: "object",
            properties: { city: { type: "string" }, country: { type: "string" } },
            required: ["city", "country"],
            additionalProperties: false,
          },
        },
      },
    },
  },
};

export const COMPLETION_REQUESTS = {
  text: {
    summary: "A text to go on with",
    value: { model: "default", prompt: "The capital of France is", max_tokens: 8, temperature: 0 },
  },
};

export const CHAT_REPLIES = {
  answer: {
    summary: "An answer",
    value: {
      ...chatEnvelope,
      object: "chat.completion",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "The capital of France is Paris.", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage,
      flowmesh: account,
    },
  },
};

export const COMPLETION_REPLIES = {
  text: {
    summary: "What comes next",
    value: {
      ...completionEnvelope,
      object: "text_completion",
      choices: [{ index: 0, text: " Paris.", logprobs: null, finish_reason: "stop" }],
      usage,
      flowmesh: account,
    },
  },
};

const stream = (head: object, choices: readonly object[]): string =>
  [
    ...choices.map((choice) => {
      const whole = { index: 0, logprobs: null, finish_reason: null, ...choice };
      return `data: ${JSON.stringify({ ...head, choices: [whole] })}`;
    }),
    "data: [DONE]",
    "",
  ].join("\n\n");

export const CHAT_STREAM = stream({ ...chatEnvelope, object: "chat.completion.chunk" }, [
  { delta: { role: "assistant", content: "" } },
  { delta: { content: "Paris." } },
  { delta: {}, finish_reason: "stop" },
]);

export const COMPLETION_STREAM = stream({ ...completionEnvelope, object: "text_completion" }, [
  { text: " Paris." },
  { text: "", finish_reason: "stop" },
]);
