import type { Clock } from "./runtime/clock.ts";

/** Enough to fill the pipeline: while one's last chunks drain from it, the next one's come in. */
const AT_ONCE = 2;
/** A placement or a restart reaches all sessions of a tree host at about the same time. */
const GATHER_MS = 5;
/** A turn that takes longer holds up nobody else. */
const TURN_MS_MAX = 10_000;

interface Waiting {
  readonly activeAtMs: number;
  readonly start: () => void;
}

/**
 * The order in which the sessions of one tree host prefill again when all of them have to: those whose last token
 * came most recently first, a few at a time. All at once, each would wait for everybody's prefill.
 */
export class PrefillTurns {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting>();
  /** Sessions that prefill now, with what stops their timer. */
  readonly #running = new Map<string, () => void>();
  #gathering = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `start` when it is the session's turn, never at once. A later request of the same session replaces an earlier one. */
  wait(sid: string, activeAtMs: number, start: () => void): void {
    this.#stopTurn(sid);
    this.#waiting.set(sid, { activeAtMs, start });
    if (this.#gathering) return;
    this.#gathering = true;
    this.#clock.setTimer(GATHER_MS, () => {
      this.#gathering = false;
      this.#next();
    });
  }

  /** The session has prefilled, or is over. */
  release(sid: string): void {
    const waited = this.#waiting.delete(sid);
    if (this.#stopTurn(sid) || waited) this.#next();
  }

  #stopTurn(sid: string): boolean {
    this.#running.get(sid)?.();
    return this.#running.delete(sid);
  }

  #next(): void {
    if (this.#gathering) return;
    const inOrder = [...this.#waiting].sort(([, a], [, b]) => b.activeAtMs - a.activeAtMs);
    for (const [sid, { start }] of inOrder.slice(0, Math.max(0, AT_ONCE - this.#running.size))) {
      this.#waiting.delete(sid);
      this.#running.set(
        sid,
        this.#clock.setTimer(TURN_MS_MAX, () => this.release(sid)),
      );
      start();
    }
  }
}
