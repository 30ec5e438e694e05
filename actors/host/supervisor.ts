import type { Clock } from "../runtime/clock.ts";
import { DEFAULT_SUPERVISION, judgeCrash, type SupervisionPolicy } from "../runtime/supervision.ts";
import { describeError } from "./expected-error.ts";
import type { ProcessExit, SupervisedProcess } from "./supervised.ts";

/** How to start one process; called again after each crash, so it may ask for the newest placement. */
export interface ProcessPlan {
  readonly name: string;
  start(signal: AbortSignal): Promise<SupervisedProcess>;
}

export type SupervisorEvent =
  | { readonly kind: "up"; readonly name: string; readonly pid: number; readonly payload: unknown }
  | { readonly kind: "down"; readonly name: string; readonly reason: string; readonly restartInMs: number }
  /** `restarts` counts all since the first start. */
  | {
      readonly kind: "restarted";
      readonly name: string;
      readonly pid: number;
      readonly payload: unknown;
      readonly restarts: number;
    }
  | { readonly kind: "gave-up"; readonly name: string; readonly reason: string };

export interface SupervisorOptions {
  readonly clock: Clock;
  readonly onEvent: (event: SupervisorEvent) => void;
  readonly policy?: SupervisionPolicy;
}

/** A process ended more often than its policy allows. */
export class ProcessEscalatedError extends Error {
  constructor(name: string, ends: number, reason: string) {
    super(`${name} ended ${ends} times in a short while and is not started again: ${reason}`);
    this.name = "ProcessEscalatedError";
  }
}

/**
 * A process that was ready for so long was not ended by its own start: it is no loop of crashes, however often somebody
 * kills it, and giving up would take the whole mesh with it.
 */
const STEADY_MS = 3_000;

interface Watched {
  readonly plan: ProcessPlan;
  running: SupervisedProcess | undefined;
  readyAtMs: number;
  /** Times of those that did not follow a steady run. */
  crashes: readonly number[];
  restarts: number;
  /** Ends with the watch: after `stop`, or when the supervisor gives up. */
  watch: Promise<void>;
}

/** Keeps processes running: each that ends unasked is started again, later and later, until it is hopeless. */
export class Supervisor {
  /** Resolves with the reason when a process was given up; the owner should stop everything then. */
  readonly escalated: Promise<ProcessEscalatedError>;
  readonly #options: SupervisorOptions;
  readonly #watched: Watched[] = [];
  readonly #stopping = new AbortController();
  readonly #escalation = Promise.withResolvers<ProcessEscalatedError>();

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.escalated = this.#escalation.promise;
  }

  /**
   * Resolves when the process is ready, and keeps it so from then on. A first start that fails rejects
   * and is not repeated: then something is wrong that waiting does not mend.
   */
  async start(plan: ProcessPlan): Promise<unknown> {
    this.#stopping.signal.throwIfAborted();
    const watched: Watched = {
      ...{ plan, running: undefined, readyAtMs: 0, crashes: [], restarts: 0 },
      watch: Promise.resolve(),
    };
    // Before it runs, so that the order of stopping is the order of the calls.
    this.#watched.push(watched);
    const first = this.#launch(watched);
    watched.watch = first.then(
      () => this.#watch(watched),
      () => {},
    );
    const process = await first;
    this.#options.onEvent({ kind: "up", name: plan.name, pid: process.pid, payload: process.payload });
    return process.payload;
  }

  /** Name of a process that should be running and is not; undefined when all are. */
  get missing(): string | undefined {
    return this.#watched.find(({ running }) => running === undefined)?.plan.name;
  }

  /** Stops all, the last one first, each after the one before is gone. Starts under way are called off. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const watched of this.#watched.toReversed()) {
      await watched.running?.stop();
      await watched.watch;
    }
  }

  /** Ends all at once. */
  kill(): void {
    this.#stopping.abort();
    for (const { running } of this.#watched) running?.kill();
  }

  async #launch(watched: Watched): Promise<SupervisedProcess> {
    const { signal } = this.#stopping;
    const process = await watched.plan.start(signal);
    // It became ready just when everything stops: `stop` has not seen it.
    if (signal.aborted) await process.stop();
    signal.throwIfAborted();
    watched.running = process;
    watched.readyAtMs = this.#options.clock.now();
    return process;
  }

  async #watch(watched: Watched): Promise<void> {
    for (;;) {
      const exit = await watched.running?.exited;
      watched.running = undefined;
      if (exit === undefined || exit.asked || this.#stopping.signal.aborted) return;
      if (this.#options.clock.now() - watched.readyAtMs >= STEADY_MS) watched.crashes = [];
      if (!(await this.#restart(watched, exit))) return;
    }
  }

  /** False when it is over: given up, or stopping. */
  async #restart(watched: Watched, exit: ProcessExit): Promise<boolean> {
    const { clock, onEvent, policy = DEFAULT_SUPERVISION } = this.#options;
    const { name } = watched.plan;
    let reason = exit.reason;
    while (!this.#stopping.signal.aborted) {
      const { crashes, next } = judgeCrash(watched.crashes, clock.now(), policy);
      watched.crashes = crashes;
      if (next.kind === "escalate") {
        onEvent({ kind: "gave-up", name, reason });
        this.#escalation.resolve(new ProcessEscalatedError(name, crashes.length, reason));
        return false;
      }
      onEvent({ kind: "down", name, reason, restartInMs: next.delayMs });
      await this.#wait(next.delayMs);
      if (this.#stopping.signal.aborted) return false;
      try {
        const { pid, payload } = await this.#launch(watched);
        watched.restarts += 1;
        onEvent({ kind: "restarted", name, pid, payload, restarts: watched.restarts });
        return true;
      } catch (error) {
        reason = describeError(error);
      }
    }
    return false;
  }

  /** Until `ms` have passed, or everything stops. */
  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#stopping;
      const cancel = this.#options.clock.setTimer(ms, done);
      function done(): void {
        cancel();
        signal.removeEventListener("abort", done);
        resolve();
      }
      signal.addEventListener("abort", done);
      if (signal.aborted) done();
    });
  }
}
