/** Time as a dependency: the simulation replaces it, so no test waits. */
export interface Clock {
  /** Monotonic milliseconds, with fractions. */
  now(): number;
  /** Calls back once after `ms`; the returned function cancels it. */
  setTimer(ms: number, callback: () => void): () => void;
}

export const sleep = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => void clock.setTimer(ms, resolve));

/** The last stretch of a timer: more than a coarse timer is ever early or, undisturbed, late. */
const FINE_MS = 2;
/** The end of that stretch: more than a thread that slept mostly takes to wake up. */
const AWAKE_MS = 0.25;
/** Nobody changes or notifies it: a wait on it only ends by its time. */
const quiet = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/** Timers are late by a few hundredths of a millisecond where a core is free, and never early. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(ms, callback) {
    const timer = new PreciseTimer(performance.now() + ms, callback);
    return () => timer.cancel();
  },
};

/** The same time with plain timers: late by a millisecond or two, and without the work to be exact. */
export const coarseClock: Clock = {
  now: systemClock.now,
  setTimer(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/**
 * `setTimeout` counts whole milliseconds, and is up to a half one early. So it only waits until shortly
 * before the time; a wait on shared memory, which knows fractions, goes on; and the very end is waited for
 * awake, going round the event loop, since a sleeping thread needs a tenth of a millisecond or two to wake.
 * The wait on memory can't be called off without leaving something behind until its time, but it is short:
 * a cancelled one just ends for nothing.
 */
class PreciseTimer {
  readonly #dueAt: number;
  readonly #callback: () => void;
  #timer: Timer | undefined;
  #over = false;

  constructor(dueAt: number, callback: () => void) {
    this.#dueAt = dueAt;
    this.#callback = callback;
    const restMs = this.#restMs();
    if (restMs > FINE_MS) this.#timer = setTimeout(() => this.#approach(), restMs - FINE_MS);
    else this.#approach();
  }

  cancel(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #restMs(): number {
    return this.#dueAt - performance.now();
  }

  #approach(): void {
    const asleepMs = this.#restMs() - AWAKE_MS;
    if (asleepMs <= 0) {
      this.#stayAwake();
      return;
    }
    // Unlike a timer, a wait on memory does not keep the process alive.
    this.#timer = setTimeout(() => this.#stayAwake(), asleepMs + FINE_MS);
    const wait = Atomics.waitAsync(quiet, 0, 0, asleepMs);
    void Promise.resolve(wait.value).then(() => this.#stayAwake());
  }

  #stayAwake(): void {
    if (!this.#over) setImmediate(() => this.#fireIfDue());
  }

  #fireIfDue(): void {
    if (this.#over) return;
    if (this.#restMs() > 0) {
      this.#stayAwake();
      return;
    }
    this.cancel();
    this.#callback();
  }
}
