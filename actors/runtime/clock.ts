/** Time as a dependency: the simulation replaces it, so no test waits. */
export interface Clock {
  /** Monotonic milliseconds, with fractions. */
  now(): number;
  /** Calls back once after `ms`; the returned function cancels it. */
  setTimer(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
