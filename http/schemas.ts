import * as v from "valibot";
import { LIVE_NAME } from "../actors/live-port.ts";
import { TOP_LOGPROBS_MAX } from "../decoding/log-probs.ts";
import {
  GREEDY,
  LOGIT_BIAS_ENTRIES_MAX,
  SAMPLING_RANGES,
  type SamplingParams,
  type TokenBias,
} from "../decoding/sampling-params.ts";
import { type ApiError, invalidRequest } from "./errors.ts";
import { asObject } from "./request-body.ts";
import { chatMessage, toMessage } from "./structured/messages.ts";
import { type StructuredParams, structuredFields, structuredParams } from "./structured/schemas.ts";
import type { ChatMessage } from "./text-port.ts";
import { rejectUnknown, rejectUnsupported } from "./unsupported.ts";

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
  v.check(
    (biases) => Object.keys(biases).length <= LOGIT_BIAS_ENTRIES_MAX,
    `At most ${LOGIT_BIAS_ENTRIES_MAX} tokens can be biased`,
  ),
  v.transform((biases): TokenBias[] =>
    Object.entries(biases).map(([token, bias]) => ({ token: Number(token), bias })),
  ),
);
/** OpenAI's form: an object of token ids, written as strings, and what to add to their logits. */
const logitBias = v.lazy((input) =>
  Array.isArray(input) ? v.never("It must be an object with token ids as keys") : biasByToken,
);

const liveName = v.pipe(
  v.string(),
  v.regex(LIVE_NAME, "It must be 16 to 64 letters, digits, - or _, made up at random"),
);

/** Whether there is one of that name, only the mesh knows. */
const drafterName = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9_-]{1,48}$/, 'It must be "none" or a drafter\'s name: 1 to 48 of a-z, 0-9, _ and -'),
);

const generationFields = {
  model: v.nullish(v.string(), "default"),
  max_tokens: v.nullish(positive),
  temperature: v.nullish(within(SAMPLING_RANGES.temperature), 1),
  top_p: v.nullish(v.pipe(v.number(), v.gtValue(0), v.maxValue(1)), 1),
  top_k: v.nullish(count, GREEDY.topK),
  min_p: v.nullish(within(SAMPLING_RANGES.minP), GREEDY.minP),
  repetition_penalty: v.nullish(within(SAMPLING_RANGES.repetitionPenalty), GREEDY.repetitionPenalty),
  presence_penalty: v.nullish(within(SAMPLING_RANGES.presencePenalty), GREEDY.presencePenalty),
  frequency_penalty: v.nullish(within(SAMPLING_RANGES.frequencyPenalty), GREEDY.frequencyPenalty),
  logit_bias: v.nullish(logitBias),
  seed: v.nullish(v.pipe(v.number(), v.safeInteger())),
  stop: v.nullish(
    v.lazy((input) =>
      typeof input === "string" ? stopString : v.pipe(v.array(stopString), v.maxLength(MAX_STOP_STRINGS)),
    ),
  ),
  n: v.nullish(v.pipe(positive, v.maxValue(MAX_CHOICES)), 1),
  stream: v.nullish(v.boolean(), false),
  stream_options: v.nullish(v.object({ include_usage: v.nullish(v.boolean()) })),
  flowmesh: v.nullish(
    v.strictObject({
      policy: v.nullish(v.string()),
      live: v.nullish(liveName),
      drafter: v.nullish(drafterName),
      reuse: v.nullish(v.boolean()),
      numerics: v.nullish(v.string()),
      commits: v.nullish(v.boolean(), false),
      timings: v.nullish(v.boolean(), false),
    }),
  ),
};

const chatSchema = v.object({
  ...generationFields,
  ...structuredFields,
  messages: v.pipe(v.array(chatMessage), v.minLength(1, "At least one message is needed")),
  max_completion_tokens: v.nullish(positive),
  logprobs: v.nullish(v.boolean(), false),
  top_logprobs: v.nullish(v.pipe(count, v.maxValue(TOP_LOGPROBS_MAX))),
});

const tokenIds = v.pipe(v.array(count), v.minLength(1, "The prompt must not be empty"));
const onePrompt = v.lazy((input) => (typeof input === "string" ? v.string() : tokenIds));
const oneOfBatch = v.pipe(
  v.strictTuple([onePrompt], "Only one prompt per request is supported"),
  v.transform(([prompt]) => prompt),
);
const isBatch = (input: unknown): boolean =>
  Array.isArray(input) && input.length > 0 && typeof input[0] !== "number";

const completionSchema = v.object({
  ...generationFields,
  prompt: v.lazy((input) => (isBatch(input) ? oneOfBatch : onePrompt)),
  logprobs: v.nullish(v.pipe(count, v.maxValue(MAX_COMPLETION_LOGPROBS))),
});

/** What both endpoints ask of a generation, in the gateway's own words. */
export interface GenerationParams {
  readonly model: string;
  readonly maxTokens: number | undefined;
  readonly sampling: Omit<SamplingParams, "seed">;
  readonly seed: number | undefined;
  readonly stops: readonly string[];
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly policy: string | undefined;
  /** Name under which the answer may be watched. */
  readonly live: string | undefined;
  readonly drafter: string | undefined;
  /** Whether the prompt's beginning may come from earlier sessions. */
  readonly reuse: boolean;
  /** Numerics that the request insists on. */
  readonly numerics: string | undefined;
  /** Choices, each with a seed of its own. */
  readonly choices: number;
  /** Alternatives to tell of each token; undefined: no log-probabilities are told. */
  readonly topLogprobs: number | undefined;
  /** SessionRequest's grammar. */
  readonly grammar?: string | undefined;
  /** Additions of our own that were asked for. */
  readonly tells: { readonly commits: boolean; readonly timings: boolean };
}

export interface ChatParams extends GenerationParams, StructuredParams {
  readonly messages: readonly ChatMessage[];
}

export interface CompletionParams extends GenerationParams {
  readonly prompt: string | readonly number[];
}

/** Body of POST /v1/chat/completions. Throws ApiError 400 that names the first field at fault. */
export function parseChat(body: unknown): ChatParams {
  const request = parse(chatSchema, body);
  if (request.top_logprobs != null && !request.logprobs) {
    throw invalidRequest("top_logprobs needs logprobs: true", "top_logprobs");
  }
  const topLogprobs = request.logprobs ? (request.top_logprobs ?? 0) : undefined;
  const shared = { ...request, max_tokens: request.max_completion_tokens ?? request.max_tokens };
  return {
    ...generationParams(shared, topLogprobs),
    ...structuredParams(request),
    messages: request.messages.map(toMessage),
  };
}

/** Body of POST /v1/completions. Throws ApiError 400 that names the first field at fault. */
export function parseCompletion(body: unknown): CompletionParams {
  const request = parse(completionSchema, body);
  return { ...generationParams(request, request.logprobs ?? undefined), prompt: request.prompt };
}

const generationObject = v.object(generationFields);

function generationParams(
  request: v.InferOutput<typeof generationObject>,
  topLogprobs: number | undefined,
): GenerationParams {
  const { stop, flowmesh } = request;
  return {
    model: request.model,
    maxTokens: request.max_tokens ?? undefined,
    sampling: {
      temperature: request.temperature,
      topP: request.top_p,
      topK: request.top_k,
      minP: request.min_p,
      repetitionPenalty: request.repetition_penalty,
      presencePenalty: request.presence_penalty,
      frequencyPenalty: request.frequency_penalty,
      logitBias: request.logit_bias ?? [],
    },
    seed: request.seed ?? undefined,
    stops: typeof stop === "string" ? [stop] : (stop ?? []),
    stream: request.stream,
    includeUsage: request.stream_options?.include_usage ?? false,
    policy: flowmesh?.policy ?? undefined,
    live: flowmesh?.live ?? undefined,
    drafter: flowmesh?.drafter ?? undefined,
    reuse: flowmesh?.reuse ?? true,
    numerics: flowmesh?.numerics ?? undefined,
    choices: request.n,
    topLogprobs,
    tells: { commits: flowmesh?.commits ?? false, timings: flowmesh?.timings ?? false },
  };
}

type RequestSchema = v.ObjectSchema<v.ObjectEntries, undefined>;

function parse<Schema extends RequestSchema>(schema: Schema, body: unknown): v.InferOutput<Schema> {
  const object = asObject(body);
  rejectUnsupported(object);
  rejectUnknown(object, Object.keys(schema.entries));
  const result = v.safeParse(schema, body, { abortEarly: true });
  if (result.success) return result.output;
  throw fromIssue(result.issues[0]);
}

function fromIssue(issue: v.BaseIssue<unknown>): ApiError {
  let param = "";
  for (const { key } of issue.path ?? []) {
    param += typeof key === "number" ? `[${key}]` : `${param === "" ? "" : "."}${String(key)}`;
  }
  const missing = issue.input === undefined;
  return invalidRequest(
    missing ? `${param} is missing` : `${param}: ${issue.message}`,
    param,
    missing ? "missing_required_parameter" : "invalid_value",
  );
}
