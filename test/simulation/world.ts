import type { ActorRef } from "../../actors/runtime/actor.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import type { Log } from "../../actors/runtime/log.ts";
import { type Delivery, MemoryMesh } from "../../transport/memory.ts";

export interface Faults {
  /** Chance that a message is lost, by subject; 0 when absent. */
  readonly loss?: (subject: string) => number;
  /** Chance that a message arrives twice. */
  readonly doubling?: number;
  /** Longest time that a message is under way, milliseconds. */
  readonly delayMs?: number;
  /** Whether nothing gets from one connection to another just now. */
  readonly cut?: (from: string, to: string) => boolean;
  /** Lets a message into the process that has the connection; it may have to wait there, or be gone. */
  readonly enter?: (to: string, run: () => void) => void;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Mulberry32: small, seeded, good enough to choose schedules. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A mesh in one process where time, delays and faults come from a seed: the same seed plays the same run.
 * Messages of one publisher to one subscriber keep their order; everything else may overtake.
 */
export class World {
  readonly random: () => number;
  readonly mesh: MemoryMesh;
  readonly clock: Clock;
  readonly warnings: string[] = [];
  readonly log: Log = {
    write: (level, message, fields) => {
      if (level === "warn" || level === "error") this.warnings.push(`${message} ${JSON.stringify(fields)}`);
    },
  };
  readonly actors: ActorRef[] = [];
  #now = 0;
  #order = 0;
  readonly #events: Event[] = [];
  readonly #lastArrival = new Map<string, number>();
  faults: Faults;

  constructor(seed: number, faults: Faults = {}) {
    this.random = seededRandom(seed);
    this.faults = faults;
    this.clock = { now: () => this.#now, setTimer: (ms, callback) => this.#schedule(ms, callback) };
    this.mesh = new MemoryMesh({ deliver: (delivery) => this.#deliver(delivery), clock: this.clock });
  }

  get now(): number {
    return this.#now;
  }

  /** Plays events until `done` says so; false when nothing happens any more or `untilMs` has passed. */
  async play(done: () => boolean, untilMs = 600_000): Promise<boolean> {
    for (;;) {
      await settle();
      if (done()) return true;
      const next = this.#takeEarliest();
      if (next === undefined) return false;
      if (next.at > untilMs) {
        // For the next call to play.
        this.#events.push(next);
        return false;
      }
      this.#now = next.at;
      next.run();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.actors.map((actor) => actor.stop()));
  }

  #deliver(delivery: Delivery): void {
    const { loss, doubling = 0, delayMs = 3, cut, enter } = this.faults;
    if (cut?.(delivery.from, delivery.to)) return;
    const run = enter === undefined ? delivery.run : () => enter(delivery.to, delivery.run);
    if (this.random() < (loss?.(delivery.subject) ?? 0)) return;
    const link = `${delivery.from}>${delivery.to}`;
    const at = Math.max(this.#now + this.random() * delayMs, this.#lastArrival.get(link) ?? 0);
    this.#lastArrival.set(link, at);
    this.#schedule(at - this.#now, run);
    if (this.random() < doubling) this.#schedule(at - this.#now + this.random() * delayMs, run);
  }

  #schedule(ms: number, run: () => void): () => void {
    const event = { at: this.#now + ms, order: this.#order++, run };
    this.#events.push(event);
    return () => {
      const index = this.#events.indexOf(event);
      if (index >= 0) this.#events.splice(index, 1);
    };
  }

  #takeEarliest(): Event | undefined {
    let best = -1;
    for (let i = 0; i < this.#events.length; i++) {
      const event = this.#events[i]!;
      const other = this.#events[best];
      if (!other || event.at < other.at || (event.at === other.at && event.order < other.order)) best = i;
    }
    return best < 0 ? undefined : this.#events.splice(best, 1)[0];
  }
}

/** Lets every promise that can go on go on. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
