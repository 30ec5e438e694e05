import { createInterface, type Interface } from "node:readline";
import { type Readable, Writable } from "node:stream";

const PROMPT = "> ";
const MORE_PROMPT = "… ";
/** Around a question of several lines. */
const FENCE = '"""';

/**
 * Questions as they are typed, with the runtime's line editing and history, or as they come through a pipe, a line
 * each. While an answer is written, what is typed is not echoed into it.
 */
export class QuestionLines {
  readonly #lines: Interface;
  readonly #screen: Screen | undefined;
  /** Typed ahead, or read from the pipe at once. */
  readonly #early: string[] = [];
  #taking: ((question: string | undefined) => void) | undefined;
  /** Lines since the fence that has no end so far. */
  #fenced: string[] | undefined;
  #stopAnswer: (() => void) | undefined;
  #isClosed = false;

  /** `terminal`: where what is typed is shown; without it, `input` is a pipe or a file. */
  constructor(input: Readable, terminal: (Writable & { readonly columns?: number }) | undefined) {
    this.#screen = terminal && new Screen(terminal);
    this.#lines = createInterface({
      input,
      terminal: this.#screen !== undefined,
      ...(this.#screen && { output: this.#screen }),
      prompt: PROMPT,
    });
    this.#lines.on("line", (line) => this.#read(line));
    this.#lines.on("SIGINT", () => this.#interrupt());
    this.#lines.on("close", () => this.#end());
  }

  get isTerminal(): boolean {
    return this.#screen !== undefined;
  }

  /** Undefined when there are no more: the input has ended, or Ctrl-C or Ctrl-D was typed where nothing stood. */
  async next(): Promise<string | undefined> {
    const early = this.#early.shift();
    if (early !== undefined) {
      this.#screen?.echo(`${PROMPT}${early}\n`);
      return early;
    }
    if (this.#isClosed) return undefined;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.#taking = resolve;
    this.#prompt();
    return promise;
  }

  /** Until the promise is settled, Ctrl-C calls `stop`. */
  async while<T>(answering: Promise<T>, stop: () => void): Promise<T> {
    this.#stopAnswer = stop;
    try {
      return await answering;
    } finally {
      this.#stopAnswer = undefined;
    }
  }

  close(): void {
    this.#lines.close();
  }

  #read(line: string): void {
    if (this.#fenced !== undefined) {
      const isLast = line.trimEnd().endsWith(FENCE);
      this.#fenced.push(isLast ? line.trimEnd().slice(0, -FENCE.length) : line);
      if (isLast) this.#take();
      else this.#prompt();
    } else if (line.startsWith(FENCE)) {
      const first = line.slice(FENCE.length).trimEnd();
      const isWhole = first.endsWith(FENCE);
      this.#fenced = [isWhole ? first.slice(0, -FENCE.length) : first];
      if (isWhole) this.#take();
      else this.#prompt();
    } else this.#give(line);
  }

  /** What stood between fences, and whose slash begins no command. */
  #take(): void {
    const text = (this.#fenced ?? []).join("\n").trim();
    this.#fenced = undefined;
    this.#give(text.startsWith("/") ? ` ${text}` : text);
  }

  #give(question: string): void {
    const take = this.#taking;
    if (take === undefined) {
      this.#early.push(question);
      return;
    }
    this.#taking = undefined;
    if (this.#screen) this.#screen.isMuted = true;
    take(question);
  }

  #prompt(): void {
    if (this.#taking === undefined || this.#screen === undefined) return;
    this.#screen.isMuted = false;
    this.#lines.setPrompt(this.#fenced === undefined ? PROMPT : MORE_PROMPT);
    this.#lines.prompt(true);
  }

  #interrupt(): void {
    if (this.#stopAnswer !== undefined) {
      this.#stopAnswer();
      return;
    }
    if (this.#lines.line === "" && this.#fenced === undefined) {
      this.close();
      return;
    }
    this.#fenced = undefined;
    // As shells do: what was typed stays in sight, and a new line begins.
    this.#screen?.echo("^C\n");
    this.#clearLine();
    this.#prompt();
  }

  #clearLine(): void {
    if (this.#screen) this.#screen.isMuted = true;
    // Ctrl-E and Ctrl-U: to the line's end, and away with all before it.
    this.#lines.write(null, { ctrl: true, name: "e" });
    this.#lines.write(null, { ctrl: true, name: "u" });
  }

  #end(): void {
    this.#isClosed = true;
    if (this.#fenced !== undefined) this.#take();
    if (this.#taking !== undefined) this.#screen?.echo("\n");
    this.#taking?.(undefined);
    this.#taking = undefined;
  }
}

/** A terminal that readline writes to, unless somebody else does just now. */
class Screen extends Writable {
  isMuted = false;
  readonly #terminal: Writable & { readonly columns?: number };

  constructor(terminal: Writable & { readonly columns?: number }) {
    super({ decodeStrings: false });
    this.#terminal = terminal;
    terminal.on("resize", () => this.emit("resize"));
  }

  /** Readline wraps lines by it. */
  get columns(): number | undefined {
    return this.#terminal.columns;
  }

  echo(text: string): void {
    this.#terminal.write(text);
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.isMuted) this.#terminal.write(chunk);
    done();
  }
}
