import * as v from "valibot";
import { described } from "../described.ts";
import { count, milliseconds } from "./figures.ts";

/** What the gateway answers, as GET /openapi.json describes it. Nothing else is in a reply. */

const index = described(count, "Place of the choice; there are n.");

export const errorObject = v.strictObject({
  error: described(
    v.strictObject({
      message: described(v.string(), "What was wrong, and what would be right."),
      type: described(
        v.picklist(["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]),
        "Kind of error.",
      ),
      param: described(v.nullable(v.string()), "The field at fault, as a path, where there is one."),
      code: described(v.nullable(v.string()), "The error by a name that stays the same."),
    }),
    "The error.",
  ),
});

export const usage = v.strictObject({
  prompt_tokens: described(count, "Tokens of the prompt, once, however many choices there are."),
  completion_tokens: described(count, "Tokens of all choices, those that ended them included."),
  total_tokens: described(count, "Both together."),
  prompt_tokens_details: described(
    v.optional(
      v.strictObject({
        cached_tokens: described(
          count,
          "Those that were not computed, as an earlier request had begun alike.",
        ),
      }),
    ),
    "Where the mesh tells it.",
  ),
});

export const account = v.strictObject({
  seed: described(count, "The seed that gives the first choice again."),
  policy: described(v.optional(v.string()), "The policy that the request asked for."),
  commits: described(count, "Walks of the verifier that brought tokens."),
  draft_tokens: described(v.optional(count), "Guesses that were sent into the pipeline."),
  accepted_tokens: described(v.optional(count), "Of those, guesses that were right."),
  segments: described(v.optional(count), "Segments that were sent."),
  commit_tokens: described(v.optional(v.array(count)), "Tokens of each commit, where they were asked for."),
  timings: described(
    v.optional(
      v.strictObject({
        first_token_ms: described(v.nullable(milliseconds), "From the request to the first token."),
        total_ms: described(milliseconds, "From the request to the answer's end."),
      }),
    ),
    "Times, where they were asked for.",
  ),
});

export const commitNote = v.strictObject({
  commit_tokens: described(v.array(count), "Tokens of each commit that brought this text."),
  commit_ms: described(v.optional(v.array(milliseconds)), "When each came, counted from the request."),
});

const tokenLogprob = {
  token: described(v.string(), "The token's text; U+FFFD stands for a part of a character."),
  logprob: described(v.number(), "Natural logarithm of the probability that the model gave it."),
  bytes: described(
    v.array(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
    "The token's bytes.",
  ),
};
const chatLogprobs = v.strictObject({
  content: described(
    v.array(
      v.strictObject({
        ...tokenLogprob,
        top_logprobs: described(v.array(v.strictObject(tokenLogprob)), "The likeliest tokens in its place."),
      }),
    ),
    "One entry a token.",
  ),
  refusal: described(v.null(), "Always null."),
});
const completionLogprobs = v.strictObject({
  tokens: described(v.array(v.string()), "The tokens' texts."),
  token_logprobs: described(v.array(v.number()), "Natural logarithms of their probabilities."),
  top_logprobs: described(v.array(v.record(v.string(), v.number())), "The likeliest tokens in their places."),
  text_offset: described(v.array(count), "Where each begins in the answer, in UTF-16 units."),
});

const ended = v.picklist(["stop", "length"]);
const chatEnded = v.picklist(["stop", "length", "tool_calls"]);
const finishReason = "What the answer ended with.";
const finishReasonOfChunk = "What the answer ended with, in the last chunk of its choice; else null.";
const logprobs = "Log-probabilities, where they were asked for.";
const functionCall = described(v.literal("function"), "The only kind of call.");

const toolCall = v.strictObject({
  id: described(v.string(), "Id of the call."),
  type: functionCall,
  function: described(
    v.strictObject({
      name: described(v.string(), "Name of the function."),
      arguments: described(v.string(), "Its arguments as JSON, which fit `parameters`."),
    }),
    "What is called.",
  ),
});
const toolCallPiece = v.strictObject({
  index: described(count, "Place of the call in the message."),
  id: described(v.optional(v.string()), "Id of the call, in its first piece."),
  type: v.optional(functionCall),
  function: described(
    v.strictObject({
      name: described(v.optional(v.string()), "Name of the function, in the call's first piece."),
      arguments: described(v.string(), "The next piece of the arguments."),
    }),
    "What is called.",
  ),
});

const envelope = {
  id: described(v.string(), "Id of the answer."),
  created: described(count, "When it began, in seconds since 1970."),
  model: described(v.string(), "Id of the model."),
  system_fingerprint: described(
    v.string(),
    "Changes with whatever may change an answer: the model, its numerics, and the processors that run it.",
  ),
};
const whole = {
  ...envelope,
  usage: described(usage, "Tokens."),
  flowmesh: described(account, "What OpenAI's API does not have."),
};
const piece = {
  ...envelope,
  usage: described(v.optional(v.nullable(usage)), "Tokens, in the last chunk; null before, if asked for."),
  flowmesh: described(
    v.optional(v.union([account, commitNote])),
    "The account of the whole answer in the last chunk; before, commits, if asked for.",
  ),
};

export const chatCompletion = v.strictObject({
  ...whole,
  object: described(v.literal("chat.completion"), "Kind of object."),
  choices: described(
    v.array(
      v.strictObject({
        index,
        message: described(
          v.strictObject({
            role: described(v.literal("assistant"), "Always the assistant."),
            content: described(v.nullable(v.string()), "The text; null where there are calls alone."),
            refusal: described(v.null(), "Always null."),
            tool_calls: described(v.optional(v.array(toolCall)), "Calls, where the answer has some."),
          }),
          "The answer.",
        ),
        logprobs: described(v.nullable(chatLogprobs), logprobs),
        finish_reason: described(chatEnded, finishReason),
      }),
    ),
    "The answers.",
  ),
});

export const chatChunk = v.strictObject({
  ...piece,
  object: described(v.literal("chat.completion.chunk"), "Kind of object."),
  choices: described(
    v.array(
      v.strictObject({
        index,
        delta: described(
          v.strictObject({
            role: described(v.optional(v.literal("assistant")), "In the first chunk of the choice."),
            content: described(v.optional(v.string()), "The next piece of the text."),
            tool_calls: described(v.optional(v.array(toolCallPiece)), "The next piece of a call."),
          }),
          "What comes next.",
        ),
        logprobs: described(v.nullable(chatLogprobs), logprobs),
        finish_reason: described(v.nullable(chatEnded), finishReasonOfChunk),
      }),
    ),
    "One choice's next piece; empty in the chunk that tells `usage`.",
  ),
});

const completionChoice = {
  index,
  text: described(v.string(), "The text, or its next piece."),
  logprobs: described(v.nullable(completionLogprobs), logprobs),
};
const completionObject = described(v.literal("text_completion"), "Kind of object.");

export const completion = v.strictObject({
  ...whole,
  object: completionObject,
  choices: described(
    v.array(v.strictObject({ ...completionChoice, finish_reason: described(ended, finishReason) })),
    "The answers.",
  ),
});

export const completionChunk = v.strictObject({
  ...piece,
  object: completionObject,
  choices: described(
    v.array(
      v.strictObject({
        ...completionChoice,
        finish_reason: described(v.nullable(ended), finishReasonOfChunk),
      }),
    ),
    "One choice's next piece; empty in the chunk that tells `usage`.",
  ),
});

export const model = v.strictObject({
  id: described(v.string(), "Id of the model."),
  object: described(v.literal("model"), "Kind of object."),
  created: described(count, "When the gateway started, in seconds since 1970."),
  owned_by: described(v.literal("flowmesh"), "Always flowmesh."),
  flowmesh: described(
    v.strictObject({
      context_length: described(count, "Tokens that prompt and answer may have together."),
      policies: described(v.array(v.string()), "Policies that a request may ask for."),
      stages: described(count, "Stages of the pipeline."),
      numerics: described(v.string(), "What the mesh computes with."),
    }),
    "What OpenAI's API does not have.",
  ),
});

export const modelList = v.strictObject({
  object: described(v.literal("list"), "Kind of object."),
  data: described(v.array(model), "What the mesh serves: one model, or none while it starts."),
});

export const healthy = v.strictObject({ status: described(v.literal("ok"), "A request would be served.") });

export const unhealthy = v.strictObject({
  status: described(v.literal("unavailable"), "No request would be served."),
  reason: described(v.string(), "Why not."),
});
