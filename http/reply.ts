import { createHash } from "node:crypto";
import type { Context } from "hono";
import type { PipelineStatus, SessionRequest } from "../actors/session-port.ts";
import { toApiError } from "./errors.ts";
import { eventStream } from "./event-stream.ts";
import type { Gateway, GatewayEnv } from "./gateway.ts";
import type { Generation, GenerationResult } from "./generation.ts";
import type { GenerationParams } from "./schemas.ts";

type Fields = Readonly<Record<string, unknown>>;

/** What differs between the two endpoints' replies. */
export interface ReplyShape {
  readonly idPrefix: string;
  readonly object: string;
  readonly chunkObject: string;
  /** Choice fields of the chunk that a stream begins with; absent when it begins with text. */
  readonly opening?: Fields;
  /** Choice fields of a stream's last choice. */
  readonly closing: Fields;
  /** Choice fields that carry a piece of the text. */
  piece(text: string): Fields;
  /** Choice fields that carry the whole text. */
  whole(text: string): Fields;
}

export interface Reply {
  readonly shape: ReplyShape;
  readonly params: GenerationParams;
  readonly status: PipelineStatus;
  readonly request: SessionRequest;
  readonly generation: Generation;
}

/** Answers with one JSON object, or with an event stream when the request asks for one. */
export async function respond(c: Context<GatewayEnv>, gateway: Gateway, reply: Reply): Promise<Response> {
  const { generation, params, shape } = reply;
  const envelope = {
    id: `${shape.idPrefix}${crypto.randomUUID().replaceAll("-", "")}`,
    created: Math.floor(Date.now() / 1000),
    model: reply.status.modelId,
    system_fingerprint: fingerprint(reply.status),
  };
  if (params.stream) return streamed(c, gateway, reply, envelope);
  let text = "";
  const result = await generation.run((piece) => {
    text += piece;
  });
  return c.json({
    ...envelope,
    object: shape.object,
    choices: [choice(shape.whole(text), result.finishReason)],
    usage: usage(reply, result),
    flowmesh: extension(reply, result),
  });
}

function streamed(c: Context<GatewayEnv>, gateway: Gateway, reply: Reply, envelope: Fields): Response {
  const { generation, params, shape } = reply;
  return eventStream(c, {
    clock: gateway.clock,
    onGone: (reason) => generation.leave(reason),
    async produce(send) {
      const unknownUsage = params.includeUsage ? { usage: null } : {};
      const sendChunk = (fields: Fields): Promise<void> =>
        send(JSON.stringify({ ...envelope, object: shape.chunkObject, ...fields }));
      const sendChoice = (fields: Fields, finishReason: string | null = null): Promise<void> =>
        sendChunk({ choices: [choice(fields, finishReason)], ...unknownUsage });
      try {
        if (shape.opening) await sendChoice(shape.opening);
        const result = await generation.run((text) => sendChoice(shape.piece(text)));
        await sendChoice(shape.closing, result.finishReason);
        if (params.includeUsage) {
          await sendChunk({ choices: [], usage: usage(reply, result), flowmesh: extension(reply, result) });
        }
        await send("[DONE]");
      } catch (error) {
        const apiError = toApiError(error);
        if (apiError.status >= 500) {
          gateway.log.write("error", "stream failed", { request: c.var.requestId, error: String(error) });
        }
        await send(JSON.stringify(apiError.body));
      }
    },
  });
}

const choice = (fields: Fields, finishReason: string | null): Fields => ({
  index: 0,
  ...fields,
  logprobs: null,
  finish_reason: finishReason,
});

function usage(reply: Reply, result: GenerationResult): Fields {
  const promptTokens = reply.request.prompt.length;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: result.completionTokens,
    total_tokens: promptTokens + result.completionTokens,
  };
}

/**
 * The `flowmesh` object beside `usage`: the seed that gives this answer again, and how speculation went.
 * The mesh's own three counts are absent when it did not tell them in time after a stop string.
 */
function extension(reply: Reply, result: GenerationResult): Fields {
  const { stats } = result;
  return {
    seed: reply.request.sampling.seed,
    commits: result.commits,
    ...(stats && {
      draft_tokens: stats.draftTokens,
      accepted_tokens: stats.acceptedTokens,
      segments: stats.segments,
    }),
  };
}

/** Changes with whatever may change an answer: the model, and the arithmetic that runs it. */
function fingerprint(status: PipelineStatus): string {
  const digest = createHash("sha256").update(`${status.modelId}\n${status.numerics}`).digest("hex");
  return `fp_${digest.slice(0, 12)}`;
}
