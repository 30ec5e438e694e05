/** A line longer than this is cut into several, so that a stream without line ends stays bounded. */
const LINE_CHARS_MAX = 4096;

/** Calls `onLine` for each non-empty line until the stream ends. */
export async function readLines(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  const emit = (line: string) => {
    const text = line.trimEnd();
    if (text !== "") onLine(text);
  };
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) emit(line);
    while (rest.length > LINE_CHARS_MAX) {
      emit(rest.slice(0, LINE_CHARS_MAX));
      rest = rest.slice(LINE_CHARS_MAX);
    }
  }
  emit(rest + decoder.decode());
}

/** The last few lines of a stream: what a person needs when a process ends without a word. */
export class LineTail {
  readonly #lines: string[] = [];
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  push(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > this.#capacity) this.#lines.shift();
  }

  toString(): string {
    return this.#lines.join("\n");
  }
}
