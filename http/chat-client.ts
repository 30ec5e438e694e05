import * as v from "valibot";
import { eventData } from "./event-data.ts";
import type { ChatMessage } from "./text-port.ts";

/** No answer, or none to its end; the message says why and what to do. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
}

export interface ChatQuestion {
  readonly messages: readonly ChatMessage[];
  readonly model: string;
  readonly policy?: string | undefined;
  readonly temperature?: number | undefined;
  readonly topP?: number | undefined;
  readonly topK?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly seed?: number | undefined;
  readonly maxTokens?: number | undefined;
}

export interface ChatAnswer {
  readonly finishReason: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly commits: number;
  readonly draftTokens: number;
  readonly acceptedTokens: number;
  /** The one asked for, or the one that was drawn; undefined when the server told none. */
  readonly seed: number | undefined;
}

export interface ServedModel {
  readonly id: string;
  readonly contextLength: number;
  readonly stages: number;
  readonly policies: readonly string[];
}

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const errorSchema = v.object({ error: v.object({ message: v.string() }) });

const chunkSchema = v.object({
  choices: v.array(
    v.object({
      delta: v.object({ content: v.nullish(v.string()) }),
      finish_reason: v.nullish(v.string()),
    }),
  ),
  usage: v.nullish(v.object({ prompt_tokens: count, completion_tokens: count })),
  flowmesh: v.optional(
    v.object({ commits: count, draft_tokens: count, accepted_tokens: count, seed: v.number() }),
  ),
});

const modelsSchema = v.object({
  data: v.array(
    v.object({
      id: v.string(),
      flowmesh: v.object({ context_length: count, stages: count, policies: v.array(v.string()) }),
    }),
  ),
});

/** The terminal's side of the API. `url` is the gateway's root, as `flowmesh up` prints it. */
export class ChatClient {
  readonly #url: string;
  readonly #key: string | undefined;

  /** `key`: an API key, where the gateway wants one. */
  constructor(url: string, key?: string) {
    this.#url = url.replace(/\/+$/, "");
    this.#key = key;
  }

  /** Empty while the gateway knows no model. Rejects with GatewayError. */
  async models(signal: AbortSignal): Promise<readonly ServedModel[]> {
    const response = await this.#fetch("/v1/models", { signal });
    const list = v.safeParse(modelsSchema, await response.json().catch(() => undefined));
    if (!list.success) throw new GatewayError(`${this.#url} answers, but it is no flowmesh gateway`);
    return list.output.data.map(({ id, flowmesh }) => ({
      id,
      contextLength: flowmesh.context_length,
      stages: flowmesh.stages,
      policies: flowmesh.policies,
    }));
  }

  /**
   * Asks, and hands each piece of the answer to `show` as it comes. Rejects with GatewayError, or with the
   * signal's reason once it is aborted.
   */
  async ask(question: ChatQuestion, show: (text: string) => void, signal: AbortSignal): Promise<ChatAnswer> {
    const response = await this.#fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(toBody(question)),
      signal,
    });
    let answer: ChatAnswer = {
      finishReason: "",
      promptTokens: 0,
      completionTokens: 0,
      commits: 0,
      draftTokens: 0,
      acceptedTokens: 0,
      seed: undefined,
    };
    try {
      for await (const data of eventData(response.body ?? new ReadableStream())) {
        if (data === "[DONE]") return answer;
        const { choices, usage, flowmesh } = parseChunk(data);
        for (const { delta, finish_reason } of choices) {
          if (delta.content) show(delta.content);
          if (finish_reason) answer = { ...answer, finishReason: finish_reason };
        }
        if (usage) {
          const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = usage;
          answer = { ...answer, promptTokens, completionTokens };
        }
        if (flowmesh) {
          const { commits, seed, draft_tokens: draftTokens, accepted_tokens: acceptedTokens } = flowmesh;
          answer = { ...answer, commits, draftTokens, acceptedTokens, seed };
        }
      }
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof GatewayError) throw cause;
      throw new GatewayError(`the connection to ${this.#url} broke: ${reasonOf(cause)}`, { cause });
    }
    signal.throwIfAborted();
    throw new GatewayError(`${this.#url} ended the answer before it was complete`);
  }

  async #fetch(path: string, init: RequestInit & { signal: AbortSignal }): Promise<Response> {
    const key = this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` };
    const keyed = { ...init, headers: { ...init.headers, ...key } };
    const response = await fetch(`${this.#url}${path}`, keyed).catch((cause: unknown) => {
      init.signal.throwIfAborted();
      throw new GatewayError(
        `no gateway answers at ${this.#url} (${reasonOf(cause)}): start it with ./flowmesh up, or name ` +
          "another one with --url",
        { cause },
      );
    });
    if (response.ok) return response;
    const text = await response.text();
    if (response.status === 401) {
      const what = this.#key === undefined ? "wants an API key" : "does not know this API key";
      throw new GatewayError(`${this.#url} ${what}: give one with --key, or in FLOWMESH_API_KEY`);
    }
    const reason = messageOf(text) ?? `${text.slice(0, 200)} (is it a flowmesh gateway?)`;
    throw new GatewayError(`${this.#url} answered ${response.status}: ${reason}`);
  }
}

/** Fields left out by the user stay out: JSON drops what is undefined. */
const toBody = (question: ChatQuestion): object => ({
  model: question.model,
  messages: question.messages,
  stream: true,
  stream_options: { include_usage: true },
  temperature: question.temperature,
  top_p: question.topP,
  top_k: question.topK,
  min_p: question.minP,
  repetition_penalty: question.repetitionPenalty,
  presence_penalty: question.presencePenalty,
  frequency_penalty: question.frequencyPenalty,
  seed: question.seed,
  max_tokens: question.maxTokens,
  flowmesh: { policy: question.policy },
});

function parseChunk(data: string): v.InferOutput<typeof chunkSchema> {
  const failure = messageOf(data);
  if (failure !== undefined) throw new GatewayError(failure);
  const chunk = v.safeParse(chunkSchema, parseJson(data));
  if (chunk.success) return chunk.output;
  throw new GatewayError(`the answer holds what is no completion chunk: ${data.slice(0, 200)}`);
}

/** The message of an OpenAI error object; undefined for any other text. */
function messageOf(text: string): string | undefined {
  const body = v.safeParse(errorSchema, parseJson(text));
  return body.success ? body.output.error.message : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
