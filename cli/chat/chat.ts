import type { Readable, Writable } from "node:stream";
import { ChatClient, GatewayError, type ServedModel } from "../../http/chat-client.ts";
import { answeredRecord, failedRecord } from "./answer-record.ts";
import type { ChatSettings } from "./chat-settings.ts";
import { runCommand } from "./commands.ts";
import { type Answered, Conversation } from "./conversation.ts";
import { QuestionLines } from "./question-lines.ts";

type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export interface ChatOptions extends ChatSettings {
  /** The gateway's root, as `flowmesh up` prints it. */
  readonly url: string;
  readonly key?: string | undefined;
  /** Without it, the one that is served. */
  readonly model?: string | undefined;
  /** Asked alone; without it, a conversation over `stdin`. */
  readonly prompt?: string | undefined;
  /** Answers as lines of JSON: answer-record.ts. */
  readonly json?: boolean | undefined;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  /** Gets the answers and nothing else, unless it is the terminal of a conversation. */
  readonly stdout: Output;
  /** Gets the figures of each answer, and what went wrong. */
  readonly stderr: Output;
  /** Ends the answer under way and the conversation. */
  readonly signal: AbortSignal;
}

/**
 * Gives the exit code: 1 when a question that came through a pipe was not answered. Rejects with GatewayError when
 * nobody answers one question, or nobody is there when a conversation begins.
 */
export async function runChat(options: ChatOptions): Promise<number> {
  const { url, key, prompt, signal, model, json: _, stdin, stdout, stderr, ...settings } = options;
  const client = new ChatClient(url, key);
  let served: readonly ServedModel[] = [];
  try {
    if (model === undefined || prompt === undefined) served = await client.models(signal);
  } catch (error) {
    if (signal.aborted) return 0;
    throw error;
  }
  const name = model ?? served[0]?.id;
  if (name === undefined) throw new GatewayError(`${url} serves no model at the moment`);
  const conversation = new Conversation(client, name, settings);
  const chat = new Chat(conversation, served, options);
  if (prompt !== undefined) {
    await chat.answer((show) => conversation.ask(prompt, show, signal));
    return 0;
  }
  return chat.converse(stdin);
}

class Chat {
  readonly #conversation: Conversation;
  readonly #served: readonly ServedModel[];
  readonly #options: ChatOptions;

  constructor(conversation: Conversation, served: readonly ServedModel[], options: ChatOptions) {
    this.#conversation = conversation;
    this.#served = served;
    this.#options = options;
  }

  /** Shows an answer as it comes, then its figures, or its record when it has ended. Rejects with GatewayError. */
  async answer(ask: (show: (piece: string) => void) => Promise<Answered | undefined>): Promise<void> {
    const { stdout, stderr, json = false } = this.#options;
    const write = (record: object): void => void stdout.write(`${JSON.stringify(record)}\n`);
    let text = "";
    const show = (piece: string): void => {
      text += piece;
      if (!json) stdout.write(stdout.isTTY === true ? printable(piece) : piece);
    };
    try {
      const answered = await ask(show);
      if (answered === undefined) stderr.write("nothing was asked so far\n");
      else if (json) write(answeredRecord(this.#conversation, answered));
      else {
        if (answered.answer !== undefined || text !== "") stdout.write("\n");
        stderr.write(`${figuresOf(answered)}\n`);
      }
    } catch (error) {
      if (json && error instanceof GatewayError) {
        write(failedRecord(this.#conversation, text, error.message));
      } else if (text !== "") stdout.write("\n");
      throw error;
    }
  }

  /** Takes questions and commands until there are no more. */
  async converse(stdin: ChatOptions["stdin"]): Promise<number> {
    const { stdout, stderr, json, signal } = this.#options;
    const screen = json ? stderr : stdout;
    const isTerminal = stdin.isTTY === true && screen.isTTY === true;
    if (isTerminal) this.#greet();
    const lines = new QuestionLines(stdin, isTerminal ? screen : undefined);
    const close = (): void => lines.close();
    signal.addEventListener("abort", close, { once: true });
    let exitCode = 0;
    try {
      for (;;) {
        const line = signal.aborted ? undefined : await lines.next();
        if (line === undefined || signal.aborted) break;
        const outcome = await this.#take(line, lines);
        if (outcome === "left") break;
        if (outcome === "failed" && !isTerminal) exitCode = 1;
      }
    } finally {
      signal.removeEventListener("abort", close);
      close();
    }
    return exitCode;
  }

  async #take(line: string, lines: QuestionLines): Promise<"done" | "failed" | "left"> {
    const { stderr, signal } = this.#options;
    const conversation = this.#conversation;
    const question = line.trim();
    if (question === "") return "done";
    const policies = this.#served.find(({ id }) => id === conversation.model) ?? this.#served[0];
    const place = { policies: policies?.policies ?? [], mayUseFiles: lines.isTerminal };
    const outcome = line.startsWith("/") ? await runCommand(line, conversation, place) : undefined;
    if (outcome?.kind === "leave") return "left";
    if (outcome?.kind === "said" || outcome?.kind === "refused") {
      stderr.write(`${outcome.text}\n`);
      return outcome.kind === "refused" ? "failed" : "done";
    }
    const stop = new AbortController();
    const either = AbortSignal.any([stop.signal, signal]);
    const asking = this.answer((show) =>
      outcome === undefined ? conversation.ask(question, show, either) : conversation.askAgain(show, either),
    );
    try {
      await lines.while(asking, () => stop.abort());
      return "done";
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      stderr.write(`${error.message}\n`);
      return "failed";
    }
  }

  #greet(): void {
    const { stderr } = this.#options;
    for (const { id, stages, contextLength } of this.#served) {
      stderr.write(`${id} on ${stages} stages, ${contextLength} tokens of context\n`);
    }
    stderr.write("/help tells what can be typed; Ctrl-C stops an answer, Ctrl-D or /exit leaves\n");
  }
}

/** A model must not move the cursor or clear the screen: such characters are shown as pictures of themselves. */
function printable(text: string): string {
  const picture = (char: string): string => {
    const code = char.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : "\u{fffd}";
  };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
  return text.replaceAll(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, picture);
}

function figuresOf({ answer, seconds, firstSeconds = seconds }: Answered): string {
  if (answer === undefined) return "(cancelled)";
  const { completionTokens, commits, finishReason } = answer;
  const rate = completionTokens / seconds;
  const perCommit = completionTokens / Math.max(1, commits);
  const cut = finishReason === "length" ? " | cut off at its token limit" : "";
  return (
    `${completionTokens} tokens in ${seconds.toFixed(1)} s: ${rate.toFixed(1)} tokens/s | ` +
    `first after ${firstSeconds.toFixed(2)} s | ${perCommit.toFixed(2)} tokens per commit${cut}`
  );
}
