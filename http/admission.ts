import type { PipelineStatus, SessionRequest } from "../actors/session-port.ts";
import { PolicyError, parsePolicy } from "../decoding/policies/registry.ts";
import type { Room } from "./admission-queue.ts";
import { ApiError, invalidRequest } from "./errors.ts";
import type { GenerationParams } from "./schemas.ts";

/** Bound of an answer whose request sets none; the context's end may come first. */
export const DEFAULT_MAX_TOKENS = 2048;

/** Name that a request may use for whatever model the mesh serves. */
const DEFAULT_MODEL = "default";

const SEED_RANGE = 2 ** 53;

/** Ids that a request's `model` may name. */
export function modelIds(status: PipelineStatus): readonly string[] {
  return status.modelId === "" ? [] : [status.modelId];
}

/** Throws ApiError 404 for any other id. */
export function requireModel(model: string, status: PipelineStatus): void {
  const ids = modelIds(status);
  if (model === DEFAULT_MODEL || ids.includes(model)) return;
  throw new ApiError(
    404,
    `no model "${model}" here; this mesh serves ${[...ids, DEFAULT_MODEL].join(", ")}`,
    {
      code: "model_not_found",
      param: "model",
    },
  );
}

/** Throws ApiError 400 for a policy, or a parameter of one, that the mesh doesn't have. */
export function requirePolicy(policy: string | undefined, status: PipelineStatus): void {
  if (policy === undefined) return;
  try {
    const { name } = parsePolicy(policy).definition;
    if (status.policies.includes(name)) return;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw invalidRequest(error.message, "flowmesh.policy");
  }
  throw invalidRequest(
    `no policy "${policy}" here; there are ${status.policies.join(", ")}`,
    "flowmesh.policy",
  );
}

/** Throws ApiError 400 for numerics that the mesh doesn't run with. */
export function requireNumerics(numerics: string | undefined, status: PipelineStatus): void {
  if (numerics === undefined || numerics === status.numerics) return;
  throw invalidRequest(
    `this mesh computes with numerics ${status.numerics}, not "${numerics}"`,
    "flowmesh.numerics",
  );
}

/** Throws ApiError 400 when the request biases a token that the model doesn't have. */
export function requireTokens({ sampling }: GenerationParams, vocabularySize: number): void {
  const beyond = sampling.logitBias.find(({ token }) => token >= vocabularySize)?.token;
  if (beyond === undefined) return;
  throw invalidRequest(`${beyond} is no token: ids are below ${vocabularySize}`, `logit_bias.${beyond}`);
}

export interface PromptToAdmit {
  readonly tokens: Uint32Array;
  /** Request field that it came from. */
  readonly param: string;
  /** Bound of the answer when the request sets none. */
  readonly defaultMaxTokens: number;
}

/**
 * The session that a request asks for. An answer is bounded by the context's end, whatever the request
 * asks; a prompt that leaves no room for one token is an ApiError 400.
 */
export function toSessionRequest(
  params: GenerationParams,
  prompt: PromptToAdmit,
  status: PipelineStatus,
  stopTokens: readonly number[],
): SessionRequest {
  const length = prompt.tokens.length;
  if (length === 0) throw invalidRequest("the prompt must hold at least one token", prompt.param);
  const room = status.contextLength - length;
  if (room < 1) {
    throw invalidRequest(
      `the prompt is ${length} tokens long; the model's context is ${status.contextLength} tokens, and an ` +
        "answer needs at least one",
      prompt.param,
      "context_length_exceeded",
    );
  }
  if (params.grammar !== undefined && stopTokens.length === 0) {
    throw invalidRequest("this model has no token that ends an answer, so none can be held to a form");
  }
  return {
    prompt: prompt.tokens,
    sampling: {
      ...params.sampling,
      seed: params.seed === undefined ? randomSeed() : wrapSeed(params.seed),
    },
    maxTokens: Math.min(params.maxTokens ?? prompt.defaultMaxTokens, room),
    stopTokens,
    ...(params.policy === undefined ? {} : { policy: params.policy }),
    ...(params.live === undefined ? {} : { live: params.live }),
    ...(params.drafter === undefined ? {} : { drafter: params.drafter }),
    ...(params.reuse ? {} : { reuse: false }),
    ...(params.topLogprobs === undefined ? {} : { topLogprobs: params.topLogprobs }),
    ...(params.grammar === undefined ? {} : { grammar: params.grammar }),
  };
}

/** Rows that a session's guesses may take beside its tokens. */
const TREE_ROWS = 256;

/** Room that sessions need in each stage, however long their answers become. */
export const roomFor = (requests: readonly SessionRequest[]): Room => ({
  sessions: requests.length,
  tokens: requests.reduce((sum, { prompt, maxTokens }) => sum + prompt.length + maxTokens + TREE_ROWS, 0),
});

/**
 * One request a choice: the first has the seed that was asked for, each next one the seed after it. Only
 * the first can be watched: a live name is one session's.
 */
export const choiceRequests = (request: SessionRequest, count: number): SessionRequest[] =>
  Array.from({ length: count }, (_, index) => ({
    ...(index === 0 ? request : unwatched(request)),
    sampling: { ...request.sampling, seed: (request.sampling.seed + index) % SEED_RANGE },
  }));

const unwatched = ({ live: _, ...request }: SessionRequest): SessionRequest => request;

/** OpenAI's seeds may be negative; the sampler's are not. */
const wrapSeed = (seed: number): number => (seed < 0 ? seed + SEED_RANGE : seed);

function randomSeed(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 11) * 2 ** 32 + low;
}
