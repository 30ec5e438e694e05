import type { LiveSessionEvent } from "../../actors/live-port.ts";
import { SessionView } from "./session-view.ts";

/** A long answer's events; what comes later is shown, and can't be shown again. */
const EVENTS_MAX = 30_000;

/** All that was told of one session: the view of now, and of any moment before. */
export class Recording {
  readonly session: string;
  /** Follows the session as it goes on. */
  readonly live: SessionView;
  readonly #stages: number;
  readonly #events: LiveSessionEvent[] = [];
  #replay: SessionView;
  #replayed = 0;

  constructor(session: string, stages: number) {
    this.session = session;
    this.#stages = stages;
    this.live = new SessionView(session, stages);
    this.#replay = new SessionView(session, stages);
  }

  get lengthMs(): number {
    return this.#events.at(-1)?.atMs ?? 0;
  }

  push(event: LiveSessionEvent): void {
    if (this.#events.length < EVENTS_MAX) this.#events.push(event);
    this.live.apply(event);
  }

  /** The session as it stood then; milliseconds since it was asked for. */
  viewAt(atMs: number): SessionView {
    if (atMs < this.#replay.nowMs) {
      this.#replay = new SessionView(this.session, this.#stages);
      this.#replayed = 0;
    }
    for (;;) {
      const next = this.#events[this.#replayed];
      if (next === undefined || next.atMs > atMs) return this.#replay;
      this.#replay.apply(next);
      this.#replayed++;
    }
  }
}
