import type { Clock } from "../actors/runtime/clock.ts";
import { ApiError, clientGone } from "./errors.ts";

/** What the mesh has room for at any moment. */
export interface Room {
  readonly sessions: number;
  /** Rows of keys and values, one a token. */
  readonly tokens: number;
}

export interface AdmissionQueueOptions {
  readonly clock: Clock;
  /** Asked each time that somebody could go on: a mesh may get more or less of it. */
  readonly room: () => Room;
  /** Requests that wait at the same time, of all clients. */
  readonly waitingMax: number;
  /** How long a request waits, milliseconds. */
  readonly patienceMs: number;
}

/** What one request takes of the room. */
export interface Wish extends Room {
  /** Those with the same name take turns as one. */
  readonly client: string;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
}

/** Room that a request has. */
export interface Admitted {
  /** Gives back what one of its sessions took; once a session. */
  leave(): void;
}

interface Waiting {
  readonly wish: Wish;
  readonly goOn: () => void;
}

/**
 * Lets requests in as far as the mesh has room for all that their sessions may come to: clients take turns, and
 * each client's own requests come in their order. None overtakes one that waits for more room than there is, so
 * that a large one is not passed over for ever. One that is larger than all of the room goes in when it is alone.
 */
export class AdmissionQueue {
  readonly #options: AdmissionQueueOptions;
  /** By client, the one whose turn is next first; none is empty. */
  readonly #waiting = new Map<string, Waiting[]>();
  #waitingCount = 0;
  #sessions = 0;
  #tokens = 0;

  constructor(options: AdmissionQueueOptions) {
    this.#options = options;
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#waitingCount;
  }

  /** Rejects with ApiError: 429 when the queue is full, 503 when the time is over, 499 when the client has left. */
  async enter(wish: Wish): Promise<Admitted> {
    if (wish.signal.aborted) throw clientGone();
    if (this.#waitingCount > 0 || !this.#fits(wish)) await this.#wait(wish);
    else this.#take(wish);
    let left = 0;
    return {
      leave: () => {
        if (left++ >= wish.sessions) return;
        this.#sessions--;
        this.#tokens -= wish.tokens / wish.sessions;
        this.#next();
      },
    };
  }

  #wait(wish: Wish): Promise<void> {
    const { clock, waitingMax, patienceMs } = this.#options;
    if (this.#waitingCount >= waitingMax) {
      const waiting = waitingMax === 0 ? "none may wait" : `${waitingMax} requests wait already`;
      throw new ApiError(429, `all is in use, and ${waiting}; try again later`, {
        type: "rate_limit_error",
        code: "queue_full",
        retryAfterSeconds: this.#retryAfterSeconds,
      });
    }
    return new Promise((resolve, reject) => {
      const end = (): void => {
        stopTimer();
        wish.signal.removeEventListener("abort", leave);
      };
      const waiting: Waiting = {
        wish,
        goOn: () => {
          end();
          resolve();
        },
      };
      const giveUp = (error: ApiError): void => {
        end();
        this.#remove(waiting);
        reject(error);
        this.#next();
      };
      const leave = (): void => giveUp(clientGone());
      const stopTimer = clock.setTimer(patienceMs, () =>
        giveUp(
          new ApiError(503, `nothing became free within ${patienceMs / 1000} s; try again later`, {
            code: "queue_timeout",
            retryAfterSeconds: this.#retryAfterSeconds,
          }),
        ),
      );
      wish.signal.addEventListener("abort", leave, { once: true });
      this.#waiting.set(wish.client, [...(this.#waiting.get(wish.client) ?? []), waiting]);
      this.#waitingCount++;
    });
  }

  /** As long as requests wait here before they are refused. */
  get #retryAfterSeconds(): number {
    return Math.max(1, Math.ceil(this.#options.patienceMs / 1000));
  }

  #next(): void {
    for (;;) {
      const [turn] = this.#waiting.values();
      const first = turn?.[0];
      if (first === undefined || !this.#fits(first.wish)) return;
      const { client } = first.wish;
      this.#remove(first);
      // The others' turns come before its next one.
      const others = this.#waiting.get(client);
      this.#waiting.delete(client);
      if (others !== undefined) this.#waiting.set(client, others);
      this.#take(first.wish);
      first.goOn();
    }
  }

  #remove(waiting: Waiting): void {
    const { client } = waiting.wish;
    const known = this.#waiting.get(client) ?? [];
    const others = known.filter((one) => one !== waiting);
    if (others.length < known.length) this.#waitingCount--;
    if (others.length === 0) this.#waiting.delete(client);
    else this.#waiting.set(client, others);
  }

  #fits({ sessions, tokens }: Room): boolean {
    const room = this.#options.room();
    const isWithin = this.#sessions + sessions <= room.sessions && this.#tokens + tokens <= room.tokens;
    return isWithin || this.#sessions === 0;
  }

  #take({ sessions, tokens }: Room): void {
    this.#sessions += sessions;
    this.#tokens += tokens;
  }
}
