import { type LinkModel, LinkSchedule } from "./link-model.ts";

/** The part of a clock that a link needs. */
export interface LinkClock {
  /** Monotonic milliseconds, with fractions. */
  now(): number;
  setTimer(ms: number, callback: () => void): () => void;
}

interface Waiting {
  readonly dueAtMs: number;
  readonly release: () => void;
}

/** Holds things back as one direction of a link would, and lets them go in the order they came. */
export class DelayLine {
  readonly #schedule: LinkSchedule;
  readonly #clock: LinkClock;
  #waiting: Waiting[] = [];
  #cancelTimer: (() => void) | undefined;

  constructor(model: LinkModel, clock: LinkClock) {
    this.#schedule = new LinkSchedule(model);
    this.#clock = clock;
  }

  /** `release` must not throw; it is never called before this returns. */
  push(bytes: number, release: () => void): void {
    this.#waiting.push({ dueAtMs: this.#schedule.send(this.#clock.now(), bytes), release });
    if (this.#waiting.length === 1) this.#awaitFirst();
  }

  /** Resolves when something of this size, that comes now, is through. */
  pass(bytes: number): Promise<void> {
    return new Promise((resolve) => this.push(bytes, resolve));
  }

  /** Resolves when everything that is in it now is through. */
  async drained(): Promise<void> {
    const last = this.#waiting.pop();
    if (last === undefined) return;
    await new Promise<void>((resolve) => {
      const release = () => {
        last.release();
        resolve();
      };
      this.#waiting.push({ dueAtMs: last.dueAtMs, release });
    });
  }

  /** Lets go of everything at once. */
  empty(): void {
    this.#cancelTimer?.();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { release } of waiting) release();
  }

  #awaitFirst(): void {
    const first = this.#waiting[0];
    if (first === undefined) return;
    this.#cancelTimer = this.#clock.setTimer(Math.max(0, first.dueAtMs - this.#clock.now()), () => {
      this.#releaseDue();
    });
  }

  /** The first one's time has come, and maybe that of others behind it. */
  #releaseDue(): void {
    const nowMs = this.#clock.now();
    const later = this.#waiting.findIndex(({ dueAtMs }, index) => index > 0 && dueAtMs > nowMs);
    const due = this.#waiting.splice(0, later < 0 ? this.#waiting.length : later);
    this.#awaitFirst();
    for (const { release } of due) release();
  }
}
