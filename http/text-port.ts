/** What the gateway needs of the model's text: it knows tokens and templates only through this. */
export interface TextPort {
  /**
   * Prompt of a conversation, ending where the assistant's answer begins; `tools` are in OpenAI's form. Throws an Error whose message
   * tells the client what its template cannot render.
   */
  encodeChat(messages: readonly ChatMessage[], tools?: readonly unknown[]): Uint32Array;
  /** Prompt of a plain completion: the text and nothing around it, beyond what the model demands. */
  encodeText(text: string): Uint32Array;
  /** One for each answer. */
  decoder(): TokenDecoder;
  /** UTF-8 bytes that a token stands for; they may end or begin inside a character. */
  tokenBytes(token: number): Uint8Array;
  /** Tokens that end an answer; their text is never shown. */
  readonly endTokens: readonly number[];
  /** Token ids are below this. */
  readonly vocabularySize: number;
}

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string;
  /** Of an assistant's message: what it called, with the arguments as a JSON value. */
  readonly tool_calls?: readonly {
    readonly id: string;
    readonly type: "function";
    readonly function: { readonly name: string; readonly arguments: unknown };
  }[];
  /** Of a tool's message: the call that it is the result of. */
  readonly tool_call_id?: string;
}

/** Turns tokens into text bit by bit. What it returns is whole characters: a cut one waits for its rest. */
export interface TokenDecoder {
  push(tokens: readonly number[]): string;
  /** What still waits, with U+FFFD for a character that never became whole. */
  flush(): string;
}
