import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { ChatClient, type ChatQuestion, GatewayError } from "../http/chat-client.ts";
import type { ChatMessage } from "../http/text-port.ts";

export interface ChatOptions extends Omit<ChatQuestion, "messages"> {
  /** The gateway's root, as `flowmesh up` prints it. */
  readonly url: string;
  readonly key?: string | undefined;
  /** Asked alone; without it, a conversation over `stdin`. */
  readonly prompt?: string | undefined;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  /** Gets the answers and nothing else, unless it is the terminal of a conversation. */
  readonly stdout: Writable & { readonly isTTY?: boolean };
  /** Gets the figures of each answer, and what went wrong. */
  readonly stderr: Writable;
  /** Ends the answer under way and the conversation. */
  readonly signal: AbortSignal;
}

/** Rejects with GatewayError when nobody answers; in a conversation, only when nobody does at its start. */
export async function runChat(options: ChatOptions): Promise<void> {
  const conversation = new Conversation(options);
  if (options.prompt !== undefined) {
    await conversation.ask(options.prompt, options.signal);
    return;
  }
  await greet(options);
  if (!options.signal.aborted) await converse(conversation, options);
}

/** The messages so far, and one way to add to them. */
class Conversation {
  readonly #options: ChatOptions;
  readonly #client: ChatClient;
  #messages: ChatMessage[] = [];

  constructor(options: ChatOptions) {
    this.#options = options;
    this.#client = new ChatClient(options.url, options.key);
  }

  forget(): void {
    this.#messages = [];
  }

  /**
   * Shows the answer as it comes, then its figures. An answer that was cut off by the signal stays in the
   * conversation as far as it was shown; a question without any answer is taken back.
   */
  async ask(content: string, signal: AbortSignal): Promise<void> {
    const { stdout, stderr } = this.#options;
    const messages = [...this.#messages, { role: "user" as const, content }];
    const startedAt = performance.now();
    let firstAt = startedAt;
    let text = "";
    const show = (piece: string): void => {
      if (text === "") firstAt = performance.now();
      text += piece;
      stdout.write(piece);
    };
    try {
      const answer = await this.#client.ask({ ...this.#options, messages }, show, signal);
      const seconds = (performance.now() - startedAt) / 1000;
      stdout.write("\n");
      const cut = answer.finishReason === "length" ? " | cut off at its token limit" : "";
      stderr.write(`${figures(answer, seconds, (firstAt - startedAt) / 1000)}${cut}\n`);
    } catch (error) {
      if (text !== "") stdout.write("\n");
      if (!signal.aborted) throw error;
      stderr.write("(cancelled)\n");
    } finally {
      if (text !== "") this.#messages = [...messages, { role: "assistant", content: text }];
    }
  }
}

function figures(
  { completionTokens, commits }: { readonly completionTokens: number; readonly commits: number },
  seconds: number,
  firstSeconds: number,
): string {
  const rate = completionTokens / seconds;
  const perCommit = completionTokens / Math.max(1, commits);
  return (
    `${completionTokens} tokens in ${seconds.toFixed(1)} s: ${rate.toFixed(1)} tokens/s | ` +
    `first after ${firstSeconds.toFixed(2)} s | ${perCommit.toFixed(2)} tokens per commit`
  );
}

async function greet({ url, key, signal, stderr }: ChatOptions): Promise<void> {
  const models = await new ChatClient(url, key).models(signal).catch((error: unknown) => {
    if (signal.aborted) return [];
    throw error;
  });
  for (const { id, stages, contextLength } of models) {
    stderr.write(`${id} on ${stages} stages, ${contextLength} tokens of context\n`);
  }
  stderr.write("/new forgets the conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer\n");
}

/** Reads a question a line until the input ends. Ctrl-C stops the answer under way, else the conversation. */
async function converse(conversation: Conversation, options: ChatOptions): Promise<void> {
  const { stdin, stdout, stderr, signal } = options;
  const isTerminal = stdin.isTTY === true && stdout.isTTY === true;
  const lines = createInterface({
    input: stdin,
    terminal: isTerminal,
    ...(isTerminal && { output: stdout }),
    prompt: "> ",
  });
  const close = (): void => lines.close();
  let answering: AbortController | undefined;
  lines.on("SIGINT", () => (answering ? answering.abort() : close()));
  signal.addEventListener("abort", close, { once: true });
  try {
    if (isTerminal) lines.prompt();
    for await (const line of lines) {
      const question = line.trim();
      if (question === "/exit" || signal.aborted) break;
      if (question === "/new") conversation.forget();
      else if (question !== "") {
        answering = new AbortController();
        await conversation
          .ask(question, AbortSignal.any([answering.signal, signal]))
          .catch((error: unknown) => {
            if (!(error instanceof GatewayError)) throw error;
            stderr.write(`${error.message}\n`);
          });
        answering = undefined;
      }
      if (isTerminal) lines.prompt();
    }
  } finally {
    signal.removeEventListener("abort", close);
    close();
  }
}
