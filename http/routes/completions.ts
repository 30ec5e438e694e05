import type { Context } from "hono";
import { answer } from "../answer.ts";
import { invalidRequest } from "../errors.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { completionLogprobs } from "../logprobs.ts";
import type { ReplyShape } from "../reply.ts";
import { readJson } from "../request-body.ts";
import { parseCompletion } from "../schemas.ts";
import type { TextPort } from "../text-port.ts";
import { textWriter } from "../text-writer.ts";

/** OpenAI's default for this endpoint. */
const DEFAULT_MAX_TOKENS = 16;

const shape: ReplyShape = {
  idPrefix: "cmpl-",
  object: "text_completion",
  chunkObject: "text_completion",
  closing: { text: "" },
  logprobs: completionLogprobs,
  writer: () =>
    textWriter(
      (text) => ({ text }),
      (text) => ({ text }),
    ),
};

/** POST /v1/completions */
export const completions =
  (gateway: Gateway) =>
  async (c: Context<GatewayEnv>): Promise<Response> => {
    const params = parseCompletion(await readJson(c.req.raw));
    return await answer(c, gateway, {
      shape,
      params,
      encode: () => ({
        tokens: encode(gateway.text, params.prompt),
        param: "prompt",
        defaultMaxTokens: DEFAULT_MAX_TOKENS,
      }),
    });
  };

function encode(text: TextPort, prompt: string | readonly number[]): Uint32Array {
  if (typeof prompt === "string") return text.encodeText(prompt);
  const beyond = prompt.find((token) => token >= text.vocabularySize);
  if (beyond !== undefined) {
    throw invalidRequest(`${beyond} is no token: ids are below ${text.vocabularySize}`, "prompt");
  }
  return Uint32Array.from(prompt);
}
