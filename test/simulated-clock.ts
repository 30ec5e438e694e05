import type { Clock } from "../actors/runtime/clock.ts";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Time that only moves when a test says so. Timers due at the same time fire in the order they were set. */
export class SimulatedClock implements Clock {
  #now = 0;
  #order = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  setTimer(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, ms), order: this.#order++, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that have not fired: what is left when everything has stopped is a leak. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves to the next timer and fires it; false when there is none up to `limit`. */
  step(limit = Number.POSITIVE_INFINITY): boolean {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at > limit) continue;
      if (next === undefined || timer.at < next.at || (timer.at === next.at && timer.order < next.order)) {
        next = timer;
      }
    }
    if (next === undefined) return false;
    this.#timers.delete(next);
    this.#now = next.at;
    next.callback();
    return true;
  }

  /** Lets `ms` pass; what each timer sets off (promises, microtasks) is done before the next one fires. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settle();
    while (this.step(until)) await settle();
    this.#now = until;
  }
}

/** Waits until all promises that can go on have gone on: nothing is left but timers and I/O. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
