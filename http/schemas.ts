import * as v from "valibot";
import type { SamplingParams } from "../decoding/sampling-params.ts";
import { type ApiError, invalidRequest } from "./errors.ts";
import { asObject } from "./request-body.ts";
import { chatSchema, completionSchema, generationFields } from "./request-fields.ts";
import { toMessage } from "./structured/messages.ts";
import { type StructuredParams, structuredParams } from "./structured/schemas.ts";
import type { ChatMessage } from "./text-port.ts";
import { rejectUnknown, rejectUnsupported } from "./unsupported.ts";

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
