import type { PositionLogprobs, TokenLogprob } from "../decoding/log-probs.ts";
import type { TextPort } from "./text-port.ts";

type TokenText = Pick<TextPort, "tokenBytes">;

/** OpenAI's form of log-probabilities, for one choice: its parts come in order. */
export type LogprobsForm = (text: TokenText) => (told: readonly PositionLogprobs[]) => object;

/** Chat completions: one entry a token, with the bytes that it stands for. */
export const chatLogprobs: LogprobsForm = (text) => (told) => {
  const entry = ({ token, logprob }: TokenLogprob) => {
    const bytes = text.tokenBytes(token);
    return { token: textOf(bytes), logprob, bytes: [...bytes] };
  };
  const content = told.map((one) => ({ ...entry(one), top_logprobs: one.top.map(entry) }));
  return { content, refusal: null };
};

/** Completions: parallel arrays; offsets count the characters of the answer. */
export const completionLogprobs: LogprobsForm = (text) => {
  let offset = 0;
  return (told) => {
    const name = ({ token }: TokenLogprob): string => textOf(text.tokenBytes(token));
    const tokens = told.map(name);
    return {
      tokens,
      token_logprobs: told.map(({ logprob }) => logprob),
      top_logprobs: told.map(({ top }) => Object.fromEntries(top.map((one) => [name(one), one.logprob]))),
      text_offset: tokens.map((token) => {
        offset += token.length;
        return offset - token.length;
      }),
    };
  };
};

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A character that the token's end cuts shows as U+FFFD; `bytes` has the truth. */
const textOf = (bytes: Uint8Array): string => decoder.decode(bytes);
