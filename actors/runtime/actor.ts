import type { Message, Subscription, Transport } from "../../transport/transport.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";

/**
 * The urgent lane overtakes the normal one: commits and cancels are handled before queued segments.
 * Within a lane, messages are handled in the order of their arrival.
 */
export type Lane = "urgent" | "normal";

export interface ListenOptions {
  readonly lane: Lane;
  readonly queue?: string;
}

/** What the runtime gives an actor. Everything an actor starts here ends with the actor. */
export interface ActorContext {
  readonly name: string;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  /** Messages of `pattern` go into this actor's mailbox from now on. */
  listen(pattern: string, options: ListenOptions): Subscription;
  /**
   * Calls `handle` as soon as a message of `pattern` arrives, even while a turn waits for something: for
   * short bookkeeping that must not wait for a long turn. What it throws is a crash, as in a turn.
   */
  hear(pattern: string, handle: (message: Message) => void): Subscription;
  /** Runs `turn` as a turn of its own in the normal lane, at the earliest after `ms`. */
  after(ms: number, turn: () => void | Promise<void>): Subscription;
}

/**
 * State plus what it does with one message. The runtime calls `receive` for one message at a time and
 * waits for it; an error thrown is a crash, and the supervisor decides what follows.
 */
export interface Actor {
  receive(message: Message): void | Promise<void>;
  /** What `$SRV.STATS` tells of it beside the counts of its messages: plain JSON, asked for at each question. */
  account?(): object;
  /** Frees what the actor holds; called once, after the last turn. */
  stop?(): void | Promise<void>;
}

export interface ActorDefinition {
  /** Unique in its mesh, e.g. "stage-0"; also its name in `nats micro ls`. */
  readonly name: string;
  readonly description: string;
  /** Messages beyond it are dropped and counted; the sender's protocol must survive that. Default 1024. */
  readonly mailboxCapacity?: number;
  /** Subscribes through the context and gives the actor; called again after a crash. */
  start(context: ActorContext): Actor | Promise<Actor>;
}

export interface ActorStats {
  readonly received: number;
  readonly dropped: number;
  readonly failed: number;
  readonly restarts: number;
  readonly greatestDepth: number;
  /** Time spent in `receive`, in nanoseconds. */
  readonly busyNs: number;
}

/** A running actor, as its owner sees it. */
export interface ActorRef {
  readonly name: string;
  readonly stats: ActorStats;
  /** Stops listening, finishes the turn that runs (and, when draining, those queued), then stops the actor. */
  stop(options?: { readonly drain: boolean }): Promise<void>;
  /** Resolves with the error that the supervisor gave up on, or undefined after `stop`. */
  readonly ended: Promise<Error | undefined>;
}
