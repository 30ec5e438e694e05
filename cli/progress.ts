/** Where progress is shown: the terminal's error stream, or a test's. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Without a terminal, a step says how far it is at most each so many percent. */
const SPARSE_PERCENT = 25;

/**
 * Shows what a set-up is doing, one step at a time. A terminal gets one line that is rewritten; anything
 * else gets few plain lines, made for a log file.
 */
export class Progress {
  readonly #stream: ProgressStream;
  #step = "";
  #shownPercent = 0;
  #shownNote = "";
  #lineOpen = false;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  begin(step: string): void {
    this.#step = step;
    this.#shownPercent = 0;
    this.#shownNote = "";
    if (this.#stream.isTTY === true) this.#rewrite(`  ${step}…`);
    else this.#stream.write(`${step}…\n`);
  }

  /** `fraction` of the step is done, from 0 to 1; `note` stands behind it, on a terminal. */
  advance(fraction: number, note = ""): void {
    const percent = Math.floor(Math.min(Math.max(fraction, 0), 1) * 100);
    if (this.#stream.isTTY === true) {
      const rest = note === "" ? "" : `, ${note}`;
      if (percent !== this.#shownPercent || note !== this.#shownNote) {
        this.#rewrite(`  ${this.#step}… ${percent}%${rest}`);
      }
      this.#shownPercent = percent;
      this.#shownNote = note;
    } else if (percent < 100 && percent >= this.#shownPercent + SPARSE_PERCENT) {
      this.#shownPercent = percent - (percent % SPARSE_PERCENT);
      this.#stream.write(`${this.#step}… ${percent}%\n`);
    }
  }

  /** Ends the step; `result` says what came of it, e.g. where it lies. */
  done(result: string): void {
    if (this.#stream.isTTY === true) {
      this.#rewrite(`✓ ${this.#step}: ${result}`);
      this.#endLine();
    } else {
      this.#stream.write(`${this.#step}: ${result}\n`);
    }
  }

  /** A line of its own, below the step's line. */
  line(text: string): void {
    this.#endLine();
    this.#stream.write(`${text}\n`);
  }

  #rewrite(text: string): void {
    const width = this.#stream.columns ?? 80;
    const cut = text.length < width ? text : `${text.slice(0, width - 2)}…`;
    this.#stream.write(`\r\x1b[2K${cut}`);
    this.#lineOpen = true;
  }

  #endLine(): void {
    if (this.#lineOpen) this.#stream.write("\n");
    this.#lineOpen = false;
  }
}
