import { join } from "node:path";

const MAIN = join(import.meta.dir, "../cli/main.ts");
const PATIENCE_MS = 60_000;

/** `flowmesh` in a pseudo-terminal: what it shows there, and keys that are typed. */
export class TerminalCommand implements AsyncDisposable {
  /** All that was shown, with the terminal's control sequences. */
  shown = "";
  readonly #process;
  readonly #decoder = new TextDecoder();
  /** What `shows` has seen already. */
  #seen = 0;

  constructor(args: readonly string[]) {
    this.#process = Bun.spawn([process.execPath, MAIN, ...args], {
      terminal: {
        cols: 100,
        rows: 40,
        data: (_, bytes) => {
          this.shown += this.#decoder.decode(bytes, { stream: true });
        },
      },
    });
  }

  type(keys: string): void {
    this.#process.terminal?.write(keys);
  }

  /** Waits until this is shown, after what was waited for before. */
  async shows(wanted: RegExp): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = wanted.exec(this.shown.slice(this.#seen));
      if (found !== null) {
        this.#seen += found.index + found[0].length;
        return;
      }
      if (performance.now() > deadline) {
        throw new Error(`${wanted} is not shown, but ${JSON.stringify(this.shown.slice(this.#seen))}`);
      }
      await Bun.sleep(10);
    }
  }

  /** The exit code. */
  get exited(): Promise<number> {
    return this.#process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
    this.#process.terminal?.close();
  }
}
