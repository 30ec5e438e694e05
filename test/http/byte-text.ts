import type { ChatMessage, TextPort, TokenDecoder } from "../../http/text-port.ts";

/** Ends an answer; its text must never be seen. */
export const END_TOKEN = 256;
const END_TEXT = "<|im_end|>";

const encoder = new TextEncoder();

/** Tokens of a text: one a UTF-8 byte, so that every character beyond ASCII is cut by tokens. */
export const bytes = (text: string): number[] => [...encoder.encode(text)];

/** A tokenizer of bytes, with a template that shows its roles. */
export class ByteText implements TextPort {
  readonly endTokens = [END_TOKEN];
  readonly vocabularySize = 257;

  encodeChat(messages: readonly ChatMessage[]): Uint32Array {
    if (messages.at(-1)?.content === "unrenderable") throw new Error("the template cannot render this");
    return Uint32Array.from(bytes(messages.map(({ role, content }) => `[${role}]${content}\n`).join("")));
  }

  encodeText(text: string): Uint32Array {
    return Uint32Array.from(bytes(text));
  }

  tokenBytes(token: number): Uint8Array {
    return token === END_TOKEN ? encoder.encode(END_TEXT) : Uint8Array.of(token);
  }

  decoder(): TokenDecoder {
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
    return {
      push: (tokens) =>
        tokens
          .map((token) =>
            token === END_TOKEN ? END_TEXT : utf8.decode(Uint8Array.of(token), { stream: true }),
          )
          .join(""),
      flush: () => utf8.decode(),
    };
  }
}
