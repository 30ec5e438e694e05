import type { ChatAnswer, ChatClient } from "../../http/chat-client.ts";
import type { ChatMessage } from "../../http/text-port.ts";
import type { ChatSettings } from "./chat-settings.ts";

/** An answer that has ended; one that was stopped has no more than its beginning. */
export interface Answered {
  readonly question: string;
  readonly text: string;
  /** Undefined when it was stopped: only the end of a stream tells the figures. */
  readonly answer: ChatAnswer | undefined;
  /** From the request to the end. */
  readonly seconds: number;
  /** From the request to the first text; undefined when there was none. */
  readonly firstSeconds: number | undefined;
}

/** The messages so far, and the ways to add to them. */
export class Conversation {
  readonly model: string;
  settings: ChatSettings;
  readonly #client: ChatClient;
  #messages: readonly ChatMessage[] = [];
  #asked: { readonly before: readonly ChatMessage[]; readonly question: string } | undefined;

  constructor(client: ChatClient, model: string, settings: ChatSettings) {
    this.#client = client;
    this.model = model;
    this.settings = settings;
  }

  /** With the system prompt, if there is one. */
  get messages(): readonly ChatMessage[] {
    return this.#withSystem(this.#messages);
  }

  /** The last one, also when it had no answer. */
  get question(): string | undefined {
    return this.#asked?.question;
  }

  /** Goes on from these; a system prompt among them becomes that of the settings. */
  replace(messages: readonly ChatMessage[]): void {
    const system = messages.find(({ role }) => role === "system");
    if (system !== undefined) this.settings = { ...this.settings, system: system.content };
    this.#messages = messages.filter(({ role }) => role !== "system");
    const last = this.#messages.findLastIndex(({ role }) => role === "user");
    const question = this.#messages[last]?.content;
    this.#asked = question === undefined ? undefined : { before: this.#messages.slice(0, last), question };
  }

  /**
   * Hands each piece of the answer to `show` as it comes. An answer that was cut off stays in the conversation as
   * far as it came; a question without any answer is taken back. Rejects with GatewayError.
   */
  ask(question: string, show: (piece: string) => void, signal: AbortSignal): Promise<Answered> {
    return this.#answer(this.#messages, question, show, signal);
  }

  /** Asks the last question once more, also one that had no answer; undefined when nothing was asked. */
  async askAgain(show: (piece: string) => void, signal: AbortSignal): Promise<Answered | undefined> {
    if (this.#asked === undefined) return undefined;
    return this.#answer(this.#asked.before, this.#asked.question, show, signal);
  }

  async #answer(
    before: readonly ChatMessage[],
    question: string,
    show: (piece: string) => void,
    signal: AbortSignal,
  ): Promise<Answered> {
    this.#asked = { before, question };
    const messages = [...before, { role: "user" as const, content: question }];
    const startedAt = performance.now();
    const secondsSince = (): number => (performance.now() - startedAt) / 1000;
    let firstSeconds: number | undefined;
    let text = "";
    let answer: ChatAnswer | undefined;
    const { system: _, ...settings } = this.settings;
    const request = { ...settings, model: this.model, messages: this.#withSystem(messages) };
    try {
      answer = await this.#client.ask(
        request,
        (piece) => {
          firstSeconds ??= secondsSince();
          text += piece;
          show(piece);
        },
        signal,
      );
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      if (text !== "") this.#messages = [...messages, { role: "assistant", content: text }];
    }
    return { question, text, answer, seconds: secondsSince(), firstSeconds };
  }

  #withSystem(messages: readonly ChatMessage[]): readonly ChatMessage[] {
    const { system } = this.settings;
    return system === undefined ? messages : [{ role: "system", content: system }, ...messages];
  }
}
