import type { Message, Subscription, Transport } from "../../transport/transport.ts";
import type { ActorContext, Lane, ListenOptions } from "./actor.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import { type Endpoint, endpointName } from "./micro.ts";

/** A message that came in on the pattern of `meter`. */
export interface MessageTask {
  readonly kind: "message";
  readonly message: Message;
  readonly meter: Meter;
}

/** A turn that the actor asked for itself. */
export interface TurnTask {
  readonly kind: "turn";
  readonly turn: () => void | Promise<void>;
}

export type Task = MessageTask | TurnTask;

/** What happened on one pattern that an actor listens on. */
export class Meter implements Endpoint {
  readonly name: string;
  readonly subject: string;
  readonly queue: string | undefined;
  requests = 0;
  errors = 0;
  lastError = "";
  processingNs = 0;
  /** False once the actor has unsubscribed: what still waits in its mailbox is not for it any more. */
  wanted = true;

  constructor(pattern: string, queue: string | undefined) {
    this.name = endpointName(pattern);
    this.subject = pattern;
    this.queue = queue;
  }
}

export interface ScopeOptions {
  readonly name: string;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly onMessage: (task: MessageTask, lane: Lane) => void;
  readonly onTurn: (task: TurnTask) => void;
}

/**
 * The context of one life of an actor, from a start to the crash or stop that ends it. It owns the life's
 * subscriptions and timers; once closed it gives nothing to the actor any more.
 */
export class Scope implements ActorContext {
  readonly name: string;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly #options: ScopeOptions;
  readonly #subscriptions = new Map<Subscription, Meter>();
  readonly #timers = new Set<() => void>();
  #closed = false;

  constructor(options: ScopeOptions) {
    this.#options = options;
    this.name = options.name;
    this.transport = options.transport;
    this.clock = options.clock;
    this.log = options.log;
  }

  meters(): readonly Meter[] {
    return [...this.#subscriptions.values()];
  }

  listen(pattern: string, options: ListenOptions): Subscription {
    const queue = options.queue === undefined ? {} : { queue: options.queue };
    return this.#subscribe(pattern, queue, (message, meter) =>
      this.#options.onMessage({ kind: "message", message, meter }, options.lane),
    );
  }

  hear(pattern: string, handle: (message: Message) => void): Subscription {
    return this.#subscribe(pattern, {}, (message, meter) => {
      meter.requests++;
      try {
        handle(message);
      } catch (error) {
        meter.errors++;
        this.#options.onTurn({
          kind: "turn",
          turn: () => {
            throw error;
          },
        });
      }
    });
  }

  #subscribe(
    pattern: string,
    options: { readonly queue?: string },
    onMessage: (message: Message, meter: Meter) => void,
  ): Subscription {
    if (this.#closed) return { unsubscribe: () => {} };
    const meter = new Meter(pattern, options.queue);
    const subscription = this.transport.subscribe(pattern, (message) => onMessage(message, meter), options);
    this.#subscriptions.set(subscription, meter);
    return {
      unsubscribe: () => {
        meter.wanted = false;
        this.#subscriptions.delete(subscription);
        subscription.unsubscribe();
      },
    };
  }

  after(ms: number, turn: () => void | Promise<void>): Subscription {
    if (this.#closed) return { unsubscribe: () => {} };
    let wanted = true;
    const cancel = this.clock.setTimer(ms, () => {
      this.#timers.delete(cancel);
      // Cancelling also helps when the turn already waits in the mailbox.
      this.#options.onTurn({ kind: "turn", turn: () => (wanted ? turn() : undefined) });
    });
    this.#timers.add(cancel);
    return {
      unsubscribe: () => {
        wanted = false;
        this.#timers.delete(cancel);
        cancel();
      },
    };
  }

  close(): void {
    this.#closed = true;
    for (const subscription of this.#subscriptions.keys()) subscription.unsubscribe();
    this.#subscriptions.clear();
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }
}
