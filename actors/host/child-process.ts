import type { Subprocess } from "bun";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import type { FromChild, ToChild } from "./child-protocol.ts";
import { LineTail, readLines } from "./output-lines.ts";
import {
  describeEnd,
  type ProcessExit,
  ProcessStartError,
  type SupervisedProcess,
  signalName,
} from "./supervised.ts";

export type ChildState = "starting" | "ready" | "stopping" | "exited";

export interface ChildOptions {
  readonly name: string;
  /** Program and arguments; the program must call `runChild`. */
  readonly command: readonly string[];
  /** Plain JSON, handed to the child's start function. */
  readonly spec: unknown;
  readonly log: Log;
  readonly clock: Clock;
  /** From the spawn to the child's ready message. */
  readonly startDeadlineMs?: number;
  /** How long a child may take to stop when asked, and again after SIGTERM, before SIGKILL. */
  readonly stopGraceMs?: number;
  /** Ends a child that is still starting. */
  readonly signal?: AbortSignal;
}

const START_DEADLINE_MS = 120_000;
const STOP_GRACE_MS = 5_000;
const TAIL_LINES = 20;
const PING_EVERY_MS = 1000;
/** A child that leaves so many pings in a row unanswered is stopped or stuck, and is killed. */
const PINGS_UNANSWERED_MAX = 5;

/** One child process that runs an actor of its own: starting → ready → stopping → exited. */
export class ChildProcess implements SupervisedProcess {
  readonly name: string;
  readonly exited: Promise<ProcessExit>;
  readonly #options: ChildOptions;
  readonly #process: Subprocess<"ignore", "pipe", "pipe">;
  readonly #tail = new LineTail(TAIL_LINES);
  readonly #ready = Promise.withResolvers<void>();
  #state: ChildState = "starting";
  #payload: unknown;
  #failure: string | undefined;
  #unanswered = 0;
  #cancelPing: () => void = () => {};

  /** Resolves when the child is ready; rejects with ProcessStartError when it ends or is late instead. */
  static async start(options: ChildOptions): Promise<ChildProcess> {
    const child = new ChildProcess(options);
    const deadlineMs = options.startDeadlineMs ?? START_DEADLINE_MS;
    const giveUp = (reason: string) => {
      child.#failure = reason;
      child.kill();
    };
    const cancel = options.clock.setTimer(deadlineMs, () => giveUp(`not ready after ${deadlineMs / 1000} s`));
    const abort = () => giveUp("the start was called off");
    options.signal?.addEventListener("abort", abort);
    if (options.signal?.aborted) abort();
    try {
      await child.#ready.promise;
    } finally {
      cancel();
      options.signal?.removeEventListener("abort", abort);
    }
    return child;
  }

  private constructor(options: ChildOptions) {
    this.#options = options;
    this.name = options.name;
    this.#process = Bun.spawn([...options.command], {
      // Its own session: a Ctrl-C in the terminal reaches the parent alone, which stops all in order.
      detached: true,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      serialization: "json",
      ipc: (message: FromChild) => this.#hear(message),
    });
    this.exited = this.#watchExit();
    this.#send({ kind: "start", spec: options.spec });
  }

  get pid(): number {
    return this.#process.pid;
  }

  get state(): ChildState {
    return this.#state;
  }

  get payload(): unknown {
    return this.#payload;
  }

  /** Plain JSON for the child's `tell`. */
  tell(body: unknown): void {
    this.#send({ kind: "tell", body });
  }

  async stop(): Promise<ProcessExit> {
    if (this.#state === "starting" || this.#state === "ready") {
      this.#state = "stopping";
      this.#send({ kind: "stop" });
      const { clock, stopGraceMs = STOP_GRACE_MS } = this.#options;
      const cancelTerm = clock.setTimer(stopGraceMs, () => this.#process.kill("SIGTERM"));
      const cancelKill = clock.setTimer(2 * stopGraceMs, () => this.kill());
      await this.exited;
      cancelTerm();
      cancelKill();
    }
    return this.exited;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  #hear(message: FromChild): void {
    switch (message.kind) {
      case "ready":
        if (this.#state !== "starting") return;
        this.#state = "ready";
        this.#payload = message.payload;
        this.#ready.resolve();
        this.#ping();
        return;
      case "pong":
        this.#unanswered = 0;
        return;
      case "failed":
        this.#failure = message.reason;
        return;
      case "log":
        this.#options.log.write(message.level, message.message, { actor: this.name, ...message.fields });
        return;
    }
  }

  /** Counts pings, not time: while this process itself is paused, the child is not to blame. */
  #ping(): void {
    if (this.#state !== "ready") return;
    if (this.#unanswered >= PINGS_UNANSWERED_MAX) {
      this.#failure = `it did not answer for ${(PING_EVERY_MS * PINGS_UNANSWERED_MAX) / 1000} s and was killed`;
      this.kill();
      return;
    }
    this.#unanswered++;
    this.#send({ kind: "ping" });
    this.#cancelPing = this.#options.clock.setTimer(PING_EVERY_MS, () => this.#ping());
  }

  /** A child that has just ended can no longer be told anything; its exit is reported anyway. */
  #send(message: ToChild): void {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.send(message);
  }

  async #watchExit(): Promise<ProcessExit> {
    const { log } = this.#options;
    const output = Promise.all([
      readLines(this.#process.stdout, (line) => log.write("info", line, { actor: this.name })),
      readLines(this.#process.stderr, (line) => {
        this.#tail.push(line);
        log.write("warn", line, { actor: this.name });
      }),
    ]);
    await this.#process.exited;
    this.#cancelPing();
    const asked = this.#state === "stopping";
    this.#state = "exited";
    // Not for long: a grandchild may hold the pipes open after the child is gone.
    await Promise.race([output, Bun.sleep(LAST_OUTPUT_MS)]);
    const code = this.#process.exitCode;
    const signal = signalName(this.#process.signalCode);
    const reason = this.#failure ?? describeEnd(code, signal, this.#tail);
    this.#ready.reject(new ProcessStartError(this.name, reason));
    return { code, signal, asked, reason };
  }
}

const LAST_OUTPUT_MS = 200;
