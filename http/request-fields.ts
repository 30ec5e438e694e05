import * as v from "valibot";
import { LIVE_NAME } from "../actors/live-port.ts";
import { TOP_LOGPROBS_MAX } from "../decoding/log-probs.ts";
import {
  GREEDY,
  LOGIT_BIAS_ENTRIES_MAX,
  SAMPLING_RANGES,
  type TokenBias,
} from "../decoding/sampling-params.ts";
import { described, noArray, oneForm } from "./described.ts";
import { chatMessage } from "./structured/messages.ts";
import { structuredFields } from "./structured/schemas.ts";

const MAX_STOP_STRINGS = 4;
/** Each is a session of its own. */
const MAX_CHOICES = 16;
/** OpenAI's bound for completions. */
const MAX_COMPLETION_LOGPROBS = 5;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const stopString = v.pipe(
  v.string(),
  v.nonEmpty("A stop string must not be empty"),
  v.check((text) => text.isWellFormed(), "A stop string must not hold half a surrogate pair"),
);

const within = ([least, greatest]: readonly [number, number]) =>
  v.pipe(v.number(), v.minValue(least), v.maxValue(greatest));

const biasByToken = v.pipe(
  v.record(
    v.pipe(v.string(), v.regex(/^(?:0|[1-9]\d{0,9})$/, "A token id must be a whole number")),
    within(SAMPLING_RANGES.bias),
  ),
  v.maxEntries(LOGIT_BIAS_ENTRIES_MAX, `At most ${LOGIT_BIAS_ENTRIES_MAX} tokens can be biased`),
  v.transform((biases): TokenBias[] =>
    Object.entries(biases).map(([token, bias]) => ({ token: Number(token), bias })),
  ),
);
/** OpenAI's form: an object of token ids, written as strings, and what to add to their logits. */
const logitBias = noArray(biasByToken, "It must be an object with token ids as keys");

/** Name under which an answer can be watched. */
const liveName = v.pipe(
  v.string(),
  v.regex(LIVE_NAME, "It must be 16 to 64 letters, digits, - or _, made up at random"),
);

/** Whether there is one of that name, only the mesh knows. */
const drafterName = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9_-]{1,48}$/, 'It must be "none" or a drafter\'s name: 1 to 48 of a-z, 0-9, _ and -'),
);

const stops = oneForm(
  { one: stopString, several: v.pipe(v.array(stopString), v.maxLength(MAX_STOP_STRINGS)) },
  (input) => (typeof input === "string" ? "one" : "several"),
);

const includeUsage = described(v.nullish(v.boolean()), "Tells `usage` in a last chunk without choices.");

const extensionFields = {
  policy: described(
    v.nullish(v.string()),
    'The policy for this request, with parameters or without: "flowspec:total=40".',
  ),
  live: described(
    v.nullish(liveName),
    "A name, made up at random, under which GET /live tells of the answer while it comes.",
  ),
  drafter: described(
    v.nullish(drafterName),
    '"none": nobody guesses for this request; or the name of a drafter of one\'s own.',
  ),
  reuse: described(
    v.nullish(v.boolean()),
    "false: the whole prompt is computed, also what earlier requests began with.",
  ),
  numerics: described(v.nullish(v.string()), "Refuses the request unless the mesh computes with these."),
  commits: described(
    v.nullish(v.boolean(), false),
    "Tells the tokens of each commit, beside the text that it brought.",
  ),
  timings: described(v.nullish(v.boolean(), false), "Tells milliseconds since the request came."),
};

/** Fields that both endpoints have. */
export const generationFields = {
  model: described(
    v.nullish(v.string(), "default"),
    'Id of the model that the mesh serves, or "default" for whichever it is.',
  ),
  max_tokens: described(
    v.nullish(positive),
    "Tokens of the answer at most; the context's end may come first.",
  ),
  temperature: described(
    v.nullish(within(SAMPLING_RANGES.temperature), 1),
    "0 takes the likeliest token; top_k, top_p and min_p then have no effect.",
  ),
  top_p: described(
    v.nullish(v.pipe(v.number(), v.gtValue(0), v.maxValue(1)), 1),
    "Keeps the likeliest tokens that have this mass together.",
  ),
  top_k: described(v.nullish(count, GREEDY.topK), "Keeps the k likeliest tokens; 0 keeps all."),
  min_p: described(
    v.nullish(within(SAMPLING_RANGES.minP), GREEDY.minP),
    "Drops tokens below this share of the likeliest one's probability.",
  ),
  repetition_penalty: described(
    v.nullish(within(SAMPLING_RANGES.repetitionPenalty), GREEDY.repetitionPenalty),
    "Divides the logits of tokens in prompt and answer; multiplies those that are negative.",
  ),
  presence_penalty: described(
    v.nullish(within(SAMPLING_RANGES.presencePenalty), GREEDY.presencePenalty),
    "Taken off a token's logit once if the answer holds it.",
  ),
  frequency_penalty: described(
    v.nullish(within(SAMPLING_RANGES.frequencyPenalty), GREEDY.frequencyPenalty),
    "Taken off a token's logit for each time that the answer holds it.",
  ),
  logit_bias: described(v.nullish(logitBias), "What is added to the logits of tokens, by token id."),
  seed: described(
    v.nullish(v.pipe(v.number(), v.safeInteger())),
    "The same seed gives the same answer; drawn, and told, when there is none.",
  ),
  stop: described(v.nullish(stops), "Strings before which the answer ends."),
  n: described(
    v.nullish(v.pipe(positive, v.maxValue(MAX_CHOICES)), 1),
    "So many answers, each with the seed after the one before.",
  ),
  stream: described(v.nullish(v.boolean(), false), "Answers with an event stream."),
  stream_options: described(
    v.nullish(noArray(v.object({ include_usage: includeUsage }))),
    "What a stream tells.",
  ),
  flowmesh: described(
    v.nullish(noArray(v.strictObject(extensionFields))),
    "What OpenAI's API does not have: how the mesh works on this request, and what it tells of it.",
  ),
};

export const chatSchema = v.object({
  ...generationFields,
  ...structuredFields,
  messages: described(
    v.pipe(v.array(chatMessage), v.minLength(1, "At least one message is needed")),
    "The conversation so far.",
  ),
  max_completion_tokens: described(v.nullish(positive), "As max_tokens, and counts before it."),
  logprobs: described(v.nullish(v.boolean(), false), "Tells how likely the model held each token."),
  top_logprobs: described(
    v.nullish(v.pipe(count, v.maxValue(TOP_LOGPROBS_MAX))),
    "So many of the likeliest tokens beside each; needs logprobs: true.",
  ),
});

const tokenIds = v.pipe(v.array(count), v.minLength(1, "The prompt must not be empty"));
const promptForms = { text: v.string(), tokens: tokenIds };
const onePrompt = oneForm(promptForms, (input) => (typeof input === "string" ? "text" : "tokens"));
const oneOfBatch = v.pipe(
  v.strictTuple([onePrompt], "Only one prompt per request is supported"),
  v.transform(([prompt]) => prompt),
);
const prompt = oneForm({ ...promptForms, batch: oneOfBatch }, (input) => {
  if (typeof input === "string") return "text";
  return Array.isArray(input) && input.length > 0 && typeof input[0] !== "number" ? "batch" : "tokens";
});

export const completionSchema = v.object({
  ...generationFields,
  prompt: described(
    prompt,
    "The text, or its token ids, that the answer goes on from; or an array of one such.",
  ),
  logprobs: described(
    v.nullish(v.pipe(count, v.maxValue(MAX_COMPLETION_LOGPROBS))),
    "Tells how likely the model held each token, and so many of the likeliest beside it.",
  ),
});
