import type { Context } from "hono";
import { DEFAULT_MAX_TOKENS } from "../admission.ts";
import { answer } from "../answer.ts";
import { invalidRequest } from "../errors.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { chatLogprobs } from "../logprobs.ts";
import type { ReplyShape } from "../reply.ts";
import { readJson } from "../request-body.ts";
import { type ChatParams, parseChat } from "../schemas.ts";
import { toolWriter } from "../structured/tool-writer.ts";
import type { TextPort } from "../text-port.ts";
import { textWriter } from "../text-writer.ts";

const shape: ReplyShape = {
  idPrefix: "chatcmpl-",
  object: "chat.completion",
  chunkObject: "chat.completion.chunk",
  opening: { delta: { role: "assistant", content: "" } },
  closing: { delta: {} },
  logprobs: chatLogprobs,
  writer: () =>
    textWriter(
      (content) => ({ delta: { content } }),
      (content) => ({ message: { role: "assistant", content, refusal: null } }),
    ),
};

/** The answer may hold calls. */
const shapeWithTools: ReplyShape = { ...shape, writer: toolWriter };

/** POST /v1/chat/completions */
export const chatCompletions =
  (gateway: Gateway) =>
  async (c: Context<GatewayEnv>): Promise<Response> => {
    const params = parseChat(await readJson(c.req.raw));
    return await answer(c, gateway, {
      shape: params.tools === undefined ? shape : shapeWithTools,
      params,
      encode: () => ({
        tokens: encode(gateway.text, params),
        param: "messages",
        defaultMaxTokens: DEFAULT_MAX_TOKENS,
      }),
    });
  };

function encode(text: TextPort, { messages, tools }: ChatParams): Uint32Array {
  try {
    return text.encodeChat(messages, tools);
  } catch (error) {
    throw invalidRequest(error instanceof Error ? error.message : String(error), "messages");
  }
}
