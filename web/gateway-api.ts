import type { LiveEvent } from "../actors/live-port.ts";
import { eventData } from "../http/event-data.ts";

/** A function that the answer calls; `arguments` is JSON, or its beginning while it is written. */
export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string | null;
  readonly tool_calls?: readonly {
    readonly id: string;
    readonly type: "function";
    readonly function: { readonly name: string; readonly arguments: string };
  }[];
}

export interface ChatRequest {
  readonly messages: readonly ChatMessage[];
  readonly temperature: number;
  readonly seed: number;
  readonly max_tokens: number;
  /** In OpenAI's form. */
  readonly tools?: readonly unknown[];
  readonly flowmesh: { readonly policy?: string; readonly live: string };
}

export interface ModelCard {
  readonly id: string;
  readonly contextLength: number;
  readonly policies: readonly string[];
  readonly stages: number;
  readonly numerics: string;
}

/** What an answer's stream says, piece by piece. */
export type ChatPiece =
  | { readonly type: "text"; readonly text: string }
  | ({ readonly type: "call"; readonly index: number } & Partial<ToolCall>)
  | { readonly type: "finish"; readonly reason: string }
  | { readonly type: "usage"; readonly completionTokens: number; readonly commits: number };

/** `skipped`: this page reads too slowly, and so many events were left out. */
export type LiveMessage = LiveEvent | { readonly type: "skipped"; readonly events: number };

/** The gateway said no, or nothing; the message is for the person who reads the page. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The gateway that served this page. */
export class GatewayApi {
  /** Sent with each request, if there is one. */
  apiKey = "";

  async models(signal?: AbortSignal): Promise<readonly ModelCard[]> {
    const response = await this.#fetch("v1/models", signal ? { signal } : {});
    const list = (await response.json()) as { data: readonly ModelEntry[] };
    return list.data.map(({ id, flowmesh }) => ({
      id,
      contextLength: flowmesh.context_length,
      policies: flowmesh.policies,
      stages: flowmesh.stages,
      numerics: flowmesh.numerics,
    }));
  }

  /** Ends when the answer does. Throws GatewayError, or what `signal` was aborted with. */
  async *chat(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatPiece> {
    const body = { model: "default", stream: true, stream_options: { include_usage: true }, ...request };
    const response = await this.#fetch("v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    for await (const data of eventsOf(response)) {
      if (data === "[DONE]") return;
      yield* piecesOf(JSON.parse(data));
    }
    signal.throwIfAborted();
    throw new GatewayError(0, "The gateway ended the answer before it was complete.");
  }

  /** Arrays of events of the sessions that are opened under `name`, until the connection ends. */
  async *live(name: string, signal: AbortSignal): AsyncGenerator<readonly LiveMessage[]> {
    const response = await this.#fetch(`live?name=${encodeURIComponent(name)}`, { signal });
    for await (const data of eventsOf(response)) yield JSON.parse(data);
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const key = this.apiKey === "" ? {} : { authorization: `Bearer ${this.apiKey}` };
    const headers = { ...init.headers, ...key };
    const response = await fetch(path, { ...init, headers }).catch((error: unknown) => {
      init.signal?.throwIfAborted();
      const reason = error instanceof Error ? error.message : String(error);
      throw new GatewayError(0, `The gateway does not answer (${reason}). Is the mesh still up?`);
    });
    if (response.ok) return response;
    throw new GatewayError(response.status, messageOf(await response.text(), response.status));
  }
}

interface ModelEntry {
  readonly id: string;
  readonly flowmesh: {
    readonly context_length: number;
    readonly policies: readonly string[];
    readonly stages: number;
    readonly numerics: string;
  };
}

/** Of OpenAI's streams, what the page reads. */
interface Chunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly {
    readonly delta: {
      readonly content?: string | null;
      readonly tool_calls?: readonly {
        readonly index: number;
        readonly id?: string;
        readonly function?: { readonly name?: string; readonly arguments?: string };
      }[];
    };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
  readonly flowmesh?: { readonly commits: number };
}

function* piecesOf(chunk: Chunk): Generator<ChatPiece> {
  if (chunk.error) throw new GatewayError(200, chunk.error.message);
  for (const { delta, finish_reason: reason } of chunk.choices ?? []) {
    if (delta.content) yield { type: "text", text: delta.content };
    for (const { index, id, function: called } of delta.tool_calls ?? []) {
      yield { type: "call", index, ...(id && { id }), ...called };
    }
    if (reason) yield { type: "finish", reason };
  }
  if (chunk.usage) {
    const completionTokens = chunk.usage.completion_tokens;
    yield { type: "usage", completionTokens, commits: chunk.flowmesh?.commits ?? 0 };
  }
}

function messageOf(text: string, status: number): string {
  try {
    const { error } = JSON.parse(text) as { error: { message: string } };
    return sentence(error.message);
  } catch {
    return `The gateway answered ${status}: ${text.slice(0, 200)}`;
  }
}

const sentence = (text: string): string =>
  text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

async function* eventsOf(response: Response): AsyncGenerator<string> {
  if (response.body !== null) yield* eventData(chunksOf(response.body));
}

/** Not every browser can iterate over a stream. */
async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // Leaving the loop early ends the request.
    reader.cancel().catch(() => {});
  }
}
