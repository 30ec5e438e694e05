import type { LiveEvent } from "../actors/live-port.ts";
import type { Clock } from "../actors/runtime/clock.ts";

/** Events wait this long for others, so that a busy pipeline costs a write each frame and not each event. */
export const BATCH_MS = 33;

/** What waits for a client that reads slowly; beyond it the oldest are dropped, and it is told how many. */
export const WAITING_MAX = 2000;

/** Events in, JSON arrays of them out, for one reader. */
export class LiveBatches implements AsyncIterable<string> {
  readonly #clock: Clock;
  #waiting: LiveEvent[] = [];
  #skipped = 0;
  #ended = false;
  #wake: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  push(event: LiveEvent): void {
    if (this.#ended) return;
    if (this.#waiting.length === WAITING_MAX) {
      this.#waiting.shift();
      this.#skipped++;
    }
    this.#waiting.push(event);
    this.#wake();
  }

  /** What waits is still given out. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    while (!this.#ended || this.#waiting.length > 0) {
      if (this.#waiting.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = () => {};
      }
      if (!this.#ended) {
        await new Promise<void>((resolve) => {
          this.#clock.setTimer(BATCH_MS, resolve);
        });
      }
      const skipped = this.#skipped === 0 ? [] : [{ type: "skipped", events: this.#skipped }];
      const batch = [...skipped, ...this.#waiting];
      this.#waiting = [];
      this.#skipped = 0;
      if (batch.length > 0) yield JSON.stringify(batch);
    }
  }
}
