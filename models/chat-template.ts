import { Template } from "@huggingface/jinja";
import type { Tokenizer } from "./tokenizer.ts";

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  /** Of an assistant's message: what it called. */
  readonly tool_calls?: readonly ToolCall[];
  /** Of a tool's message: the call that it is the result of. */
  readonly tool_call_id?: string;
}

export interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: {
    readonly name: string;
    /** A JSON value, not its text. */
    readonly arguments: unknown;
  };
}

export interface RenderOptions {
  /** Ends where the assistant's answer begins. */
  readonly addGenerationPrompt: boolean;
  /** The template's `bos_token` and `eos_token`. */
  readonly bosText: string;
  readonly eosText: string;
  /** Descriptions in OpenAI's form, for a template that `knowsTools`. */
  readonly tools?: readonly unknown[] | undefined;
}

/** A conversation that the template cannot render, or a template that cannot be used at all. */
export class ChatTemplateError extends Error {
  override readonly name = "ChatTemplateError";
}

/** What models with <|im_start|> and <|im_end|> expect; used when the file has no template of its own. */
export const CHATML_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** Noncharacters: Unicode reserves them for use inside a program, so texts have none. */
const BREAKS = Array.from({ length: 32 }, (_, i) => String.fromCodePoint(0xfdd0 + i));

export class ChatTemplate {
  readonly #template: Template;
  readonly #source: string;

  /** @throws {ChatTemplateError} when the source is no valid template. */
  constructor(source: string) {
    this.#source = source;
    try {
      this.#template = new Template(source);
    } catch (cause) {
      throw new ChatTemplateError(`The model's chat template cannot be read: ${reason(cause)}`, { cause });
    }
  }

  /** Whether it tells of tools, and has calls in the form of Hermes and Qwen models. */
  get knowsTools(): boolean {
    return /\btools\b/.test(this.#source) && this.#source.includes("<tool_call>");
  }

  /** @throws {ChatTemplateError} when the template refuses the conversation. */
  render(messages: readonly ChatMessage[], options: RenderOptions): string {
    try {
      return this.#template.render({
        messages,
        ...(options.tools && { tools: options.tools }),
        add_generation_prompt: options.addGenerationPrompt,
        bos_token: options.bosText,
        eos_token: options.eosText,
      });
    } catch (cause) {
      throw new ChatTemplateError(
        `The model's chat template cannot render this conversation: ${reason(cause)}`,
        { cause },
      );
    }
  }

  /**
   * Tokens of the rendered conversation. Control tokens come from the template's own text only: where a
   * message spells one, it is taken as ordinary text. For all other messages this is the same as rendering
   * and encoding everything at once, since only texts that spell a control token are ever touched: a break
   * character is put inside it before rendering and taken out after the rendered text is cut at its tokens.
   */
  encode(tokenizer: Tokenizer, messages: readonly ChatMessage[], options: RenderOptions): Uint32Array {
    const mark = this.#unusedBreak([messages, options.tools ?? []]);
    const names = [...tokenizer.specialTokens.keys()];
    const safe = (text: string) => breakTokens(text, names, mark);
    const harmless = eachText(messages, safe);
    const tools = eachText(options.tools, safe);
    const tokens: number[] = [];
    for (const part of tokenizer.sections(this.render(harmless, { ...options, tools }))) {
      if (typeof part === "number") tokens.push(part);
      else for (const id of tokenizer.encode(part.replaceAll(mark, ""), { special: false })) tokens.push(id);
    }
    return Uint32Array.from(tokens);
  }

  #unusedBreak(said: unknown): string {
    const texts = [this.#source, JSON.stringify(said)];
    const unused = BREAKS.find((mark) => !texts.some((text) => text.includes(mark)));
    if (unused) return unused;
    throw new ChatTemplateError("The messages hold every one of Unicode's noncharacters U+FDD0 to U+FDEF.");
  }
}

/** The same with each text in it, names of fields included, put through `change`. */
function eachText<T>(value: T, change: (text: string) => string): T {
  const within = (one: unknown): unknown => {
    if (typeof one === "string") return change(one);
    if (Array.isArray(one)) return one.map(within);
    if (typeof one !== "object" || one === null) return one;
    return Object.fromEntries(Object.entries(one).map(([name, part]) => [change(name), within(part)]));
  };
  return within(value) as T;
}

/**
 * `text` with `mark` after the first character of each control token in it, of a beginning of one at its end
 * and before an end of one at its start: the template's text or another message could complete these.
 */
function breakTokens(text: string, names: readonly string[], mark: string): string {
  const positions = new Set<number>();
  for (const name of names) {
    const inside = name.codePointAt(0)! > 0xffff ? 2 : 1;
    for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) positions.add(at + inside);
    for (let length = inside; length < name.length; length++) {
      if (text.endsWith(name.slice(0, length))) positions.add(text.length - length + inside);
      if (text.startsWith(name.slice(length))) positions.add(0);
    }
  }
  let broken = "";
  let from = 0;
  for (const position of [...positions].sort((a, b) => a - b)) {
    broken += text.slice(from, position) + mark;
    from = position;
  }
  return broken + text.slice(from);
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
