import type { Context } from "hono";
import { DEFAULT_MAX_TOKENS } from "../admission.ts";
import { answer } from "../answer.ts";
import { invalidRequest } from "../errors.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { chatLogprobs } from "../logprobs.ts";
import type { ReplyShape } from "../reply.ts";
import { readJson } from "../request-body.ts";
import { parseChat } from "../schemas.ts";
import type { ChatMessage, TextPort } from "../text-port.ts";
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

/** POST /v1/chat/completions */
export const chatCompletions =
  (gateway: Gateway) =>
  async (c: Context<GatewayEnv>): Promise<Response> => {
    const params = parseChat(await readJson(c.req.raw));
    return await answer(c, gateway, {
      shape,
      params,
      encode: () => ({
        tokens: encode(gateway.text, params.messages),
        param: "messages",
        defaultMaxTokens: DEFAULT_MAX_TOKENS,
      }),
    });
  };

function encode(text: TextPort, messages: readonly ChatMessage[]): Uint32Array {
  try {
    return text.encodeChat(messages);
  } catch (error) {
    throw invalidRequest(error instanceof Error ? error.message : String(error), "messages");
  }
}
