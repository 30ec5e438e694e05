import manifest from "../../package.json" with { type: "json" };
import type { Message, Subscription, Transport } from "../../transport/transport.ts";
import type { Actor, ActorDefinition, ActorRef, ActorStats, Lane } from "./actor.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import { Mailbox } from "./mailbox.ts";
import { announce } from "./micro.ts";
import { type MessageTask, Scope, type Task } from "./scope.ts";
import { respondError } from "./service-error.ts";
import {
  ActorEscalatedError,
  DEFAULT_SUPERVISION,
  judgeCrash,
  type SupervisionPolicy,
} from "./supervision.ts";

export interface SpawnOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly supervision?: SupervisionPolicy;
  /** Shown by `nats micro info`, e.g. the host and what the actor has measured; asked for at each question. */
  readonly metadata?: () => Readonly<Record<string, string>>;
  /** Tells instances of one name apart, in `nats micro ls`; default is random. */
  readonly id?: string;
}

const MAILBOX_CAPACITY = 1024;
const NS_PER_MS = 1e6;

/**
 * Starts an actor and keeps it running: one turn at a time, urgent messages first, restarted after a crash,
 * visible to `nats micro`. A crash loses the actor's state and what its mailbox holds; whoever waits for an
 * answer gets an error (service-error.ts). Rejects with what `definition.start` threw at the first start.
 */
export async function spawn(definition: ActorDefinition, options: SpawnOptions): Promise<ActorRef> {
  const running = new RunningActor(definition, options);
  await running.start();
  return running;
}

class RunningActor implements ActorRef {
  readonly name: string;
  readonly ended: Promise<Error | undefined>;
  readonly #end = Promise.withResolvers<Error | undefined>();
  readonly #definition: ActorDefinition;
  readonly #options: SpawnOptions;
  readonly #log: Log;
  readonly #mailbox: Mailbox<Task>;
  readonly #count = { received: 0, discarded: 0, failed: 0, restarts: 0, busyNs: 0 };
  #scope: Scope;
  #actor: Actor | undefined;
  #presence: Subscription | undefined;
  #stopping: "drain" | "discard" | undefined;
  #crashes: readonly number[] = [];
  /** Ends the present wait, be it for a task or for the time of a restart. */
  #wake: () => void = () => {};

  constructor(definition: ActorDefinition, options: SpawnOptions) {
    this.name = definition.name;
    this.ended = this.#end.promise;
    this.#definition = definition;
    this.#options = options;
    const { log } = options;
    this.#log = {
      write: (level, message, fields) => log.write(level, message, { actor: definition.name, ...fields }),
    };
    this.#mailbox = new Mailbox(definition.mailboxCapacity ?? MAILBOX_CAPACITY);
    this.#scope = this.#newScope();
  }

  get stats(): ActorStats {
    const { received, discarded, failed, restarts, busyNs } = this.#count;
    const { dropped, greatestDepth } = this.#mailbox;
    return { received, dropped: dropped + discarded, failed, restarts, greatestDepth, busyNs };
  }

  async start(): Promise<void> {
    const { transport, metadata = () => ({}), id = crypto.randomUUID() } = this.#options;
    const name = this.name;
    this.#presence = announce(transport, {
      get identity() {
        return { name, id, version: manifest.version, metadata: { ...metadata() } };
      },
      description: this.#definition.description,
      started: new Date(),
      endpoints: () => this.#scope.meters(),
      account: () => this.#actor?.account?.(),
    });
    try {
      const actor = await this.#definition.start(this.#scope);
      void this.#live(actor).then(this.#end.resolve);
    } catch (error) {
      this.#presence.unsubscribe();
      this.#endLife();
      throw error;
    }
  }

  async stop({ drain }: { readonly drain: boolean } = { drain: false }): Promise<void> {
    // A second call can hurry a stop that drains, but never bring back what was discarded.
    if (this.#stopping !== "discard") this.#stopping = drain ? "drain" : "discard";
    this.#presence?.unsubscribe();
    this.#scope.close();
    this.#wake();
    await this.ended;
  }

  /** One life after the other; gives the error that ended the last one, or undefined when stopped. */
  async #live(first: Actor): Promise<Error | undefined> {
    let actor: Actor | undefined = first;
    let outcome: Error | undefined;
    while (actor !== undefined) {
      this.#actor = actor;
      const crash = await this.#serve(actor);
      this.#endLife();
      await this.#stopActor(actor);
      const next: Actor | Error | undefined = crash === undefined ? undefined : await this.#revive(crash);
      if (next instanceof Error) outcome = next;
      actor = next instanceof Error ? undefined : next;
    }
    this.#presence?.unsubscribe();
    return outcome;
  }

  /** Turn after turn until the actor is stopped, or crashes: then gives the error. */
  async #serve(actor: Actor): Promise<Error | undefined> {
    while (this.#stopping !== "discard") {
      const task = this.#mailbox.take();
      if (task !== undefined) {
        const crash = await this.#turn(actor, task);
        if (crash !== undefined) return crash;
      } else if (this.#stopping === "drain") {
        return undefined;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
    return undefined;
  }

  async #turn(actor: Actor, task: Task): Promise<Error | undefined> {
    if (task.kind === "message" && !task.meter.wanted) return undefined;
    const startedMs = this.#options.clock.now();
    let crash: Error | undefined;
    try {
      await (task.kind === "message" ? actor.receive(task.message) : task.turn());
    } catch (error) {
      crash = asError(error);
      this.#count.failed++;
    }
    const spentNs = (this.#options.clock.now() - startedMs) * NS_PER_MS;
    this.#count.busyNs += spentNs;
    if (task.kind === "message") {
      task.meter.requests++;
      task.meter.processingNs += spentNs;
      if (crash !== undefined) {
        task.meter.errors++;
        task.meter.lastError = crash.message;
        this.#refuse(task.message, 500, `${this.name} failed: ${crash.message}`);
      }
    }
    return crash;
  }

  /** Starts the actor anew after a crash, as often as the policy allows; undefined when stopped meanwhile. */
  async #revive(firstCrash: Error): Promise<Actor | ActorEscalatedError | undefined> {
    const { clock, supervision = DEFAULT_SUPERVISION } = this.#options;
    let cause = firstCrash;
    while (this.#stopping === undefined) {
      const { crashes, next } = judgeCrash(this.#crashes, clock.now(), supervision);
      this.#crashes = crashes;
      if (next.kind === "escalate") {
        this.#log.write("error", "crashed too often, giving up", { crashes: crashes.length, error: cause });
        return new ActorEscalatedError(this.name, crashes.length, { cause });
      }
      this.#log.write("warn", "crashed, restarting", { delayMs: next.delayMs, error: cause });
      await this.#sleep(next.delayMs);
      if (this.#stopping !== undefined) return undefined;
      this.#count.restarts++;
      this.#scope = this.#newScope();
      try {
        return await this.#definition.start(this.#scope);
      } catch (error) {
        cause = asError(error);
        this.#endLife();
      }
    }
    return undefined;
  }

  async #sleep(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.setTimer(ms, resolve);
    this.#wake = resolve;
    await promise;
    cancel();
  }

  /** Lets go of what the life listened to and waited for, and of what its mailbox still holds. */
  #endLife(): void {
    this.#scope.close();
    for (let task = this.#mailbox.take(); task !== undefined; task = this.#mailbox.take()) {
      if (task.kind !== "message") continue;
      this.#count.discarded++;
      this.#refuse(task.message, 503, `${this.name} has stopped`);
    }
  }

  async #stopActor(actor: Actor): Promise<void> {
    try {
      await actor.stop?.();
    } catch (error) {
      this.#log.write("error", "failed to stop cleanly", { error: asError(error) });
    }
  }

  #accept(task: MessageTask, lane: Lane): void {
    this.#count.received++;
    if (this.#mailbox.offer(task, lane)) {
      this.#wake();
      return;
    }
    this.#refuse(task.message, 503, `${this.name} has too much to do`);
    if (this.#mailbox.dropped === 1) {
      this.#log.write("warn", "mailbox is full, dropping messages", { subject: task.message.subject });
    }
  }

  #refuse(message: Message, code: number, text: string): void {
    if (!message.expectsReply) return;
    try {
      respondError(message, code, text);
    } catch (error) {
      // The connection may be gone by now; then nobody waits for this answer any more.
      this.#log.write("debug", "could not answer", { subject: message.subject, error: asError(error) });
    }
  }

  #newScope(): Scope {
    return new Scope({
      name: this.name,
      transport: this.#options.transport,
      clock: this.#options.clock,
      log: this.#log,
      onMessage: (task, lane) => this.#accept(task, lane),
      onTurn: (task) => {
        // Never dropped: an actor that lost one of its own turns might wait for ever.
        this.#mailbox.keep(task, "normal");
        this.#wake();
      },
    });
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
