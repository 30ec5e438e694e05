import type { SchemaField } from "./schema-grammar.ts";

/** A function as the request describes it, in the form that chat templates take. */
export interface ToolDescription {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string | undefined;
    readonly parameters?: unknown;
  };
}

export interface CallableTool {
  readonly name: string;
  readonly parameters: SchemaField;
}

/** How an answer may use tools. */
export interface ToolUse {
  readonly callable: readonly CallableTool[];
  /** The answer is calls and nothing else; without it, it may be text, calls, or calls after text. */
  readonly mustCall: boolean;
  /** There may be several calls. */
  readonly parallel: boolean;
}

/** A call is `callStart`, the arguments as JSON on one line, and `CALL_END`: the form of Hermes and Qwen models. */
export const CALL_START = "<tool_call>";
const NAME_START = `${CALL_START}\n{"name": "`;
const NAME_END = `", "arguments": `;
/** No JSON on one line has a line's end, so this ends the arguments wherever it stands. */
export const CALL_END = "}\n</tool_call>";

export const callStart = (name: string): string => `${NAME_START}${name}${NAME_END}`;

export type AnswerPart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "call"; readonly name: string }
  | { readonly kind: "arguments"; readonly text: string };

/** Takes apart an answer that a grammar with tools has let through, piece by piece. */
export class ToolCallReader {
  #place: "text" | "name" | "arguments" = "text";
  #held = "";
  #calls = 0;

  /** Calls that were told. */
  get calls(): number {
    return this.#calls;
  }

  /** Whether the last call has no end so far. */
  get isInCall(): boolean {
    return this.#place !== "text";
  }

  push(text: string): AnswerPart[] {
    this.#held += text;
    const parts: AnswerPart[] = [];
    while (this.#step(parts));
    return parts;
  }

  /** What was held back: text that looked like a call's beginning. */
  end(): AnswerPart[] {
    const held = this.#held;
    this.#held = "";
    if (held === "" || this.#place === "name") return [];
    return [{ kind: this.#place, text: held }];
  }

  /** True when there is more to take apart. */
  #step(parts: AnswerPart[]): boolean {
    if (this.#place === "name") return this.#readName(parts);
    const mark = this.#place === "text" ? CALL_START : CALL_END;
    const at = this.#held.indexOf(mark);
    const end = at < 0 ? this.#held.length - partialLength(this.#held, mark) : at;
    // What stands between calls is their separator, and no text.
    const isBetween = this.#place === "text" && this.#calls > 0 && this.#held.slice(0, end).trim() === "";
    const isOpen = at < 0 && isBetween;
    if (isOpen) return false;
    if (end > 0 && !isBetween) parts.push({ kind: this.#place, text: this.#held.slice(0, end) });
    this.#held = this.#held.slice(end);
    if (at < 0) return false;
    if (this.#place === "text") this.#place = "name";
    else {
      this.#place = "text";
      this.#held = this.#held.slice(mark.length);
    }
    return true;
  }

  #readName(parts: AnswerPart[]): boolean {
    const at = this.#held.indexOf(NAME_END, NAME_START.length);
    if (at < 0) return false;
    parts.push({ kind: "call", name: this.#held.slice(NAME_START.length, at) });
    this.#calls++;
    this.#held = this.#held.slice(at + NAME_END.length);
    this.#place = "arguments";
    return true;
  }
}

/** Length of the longest end of `text` that `mark` begins with. */
function partialLength(text: string, mark: string): number {
  for (let length = Math.min(text.length, mark.length - 1); length > 0; length--) {
    if (text.endsWith(mark.slice(0, length))) return length;
  }
  return 0;
}
