import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Subprocess } from "bun";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/log.ts";
import { greets, parseNatsLogLine, readPort, removePortsFiles } from "./nats-readiness.ts";
import { renderNatsConfig } from "./nats-server-config.ts";
import { LineTail, readLines } from "./output-lines.ts";
import {
  describeEnd,
  type ProcessExit,
  ProcessStartError,
  type SupervisedProcess,
  signalName,
} from "./supervised.ts";

export interface NatsServerOptions {
  /** The nats-server program. */
  readonly program: string;
  /** A folder of this server's own: configuration, ports file, JetStream store. Made when missing. */
  readonly folder: string;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Shown by `nats server ls`. */
  readonly serverName: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/** Where clients on this machine reach the server. */
export interface NatsAddress {
  readonly url: string;
  readonly port: number;
}

const START_DEADLINE_MS = 15_000;
const POLL_MS = 20;
const TAIL_LINES = 20;

/**
 * Runs the server ("$@") until it ends by itself or standard input does, which happens when the parent
 * closes it or dies, even by SIGKILL. The reader is a process of its own, so this holds even if only
 * this shell is killed. `exec 3<&0` since a shell takes standard input from background commands.
 */
const GUARD = `
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
{
  cat <&3 >/dev/null
  kill "$server"
  tries=0
  while kill -0 "$server" && [ "$tries" -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -9 "$server"
} 2>/dev/null &
reader=$!
exec 3<&-
wait "$server"
code=$?
kill "$reader" 2>/dev/null
exit "$code"
`;

/** A nats-server as a child process; it never outlives this process. */
export class NatsServerProcess implements SupervisedProcess {
  readonly name = "nats-server";
  readonly exited: Promise<ProcessExit>;
  readonly #clock: Clock;
  readonly #guard: Subprocess<"pipe", "pipe", "pipe">;
  readonly #tail = new LineTail(TAIL_LINES);
  #stopping = false;
  #gone = false;
  #payload: NatsAddress = { url: "", port: 0 };

  /** Resolves when the server accepts clients; rejects with ProcessStartError. */
  static async start(options: NatsServerOptions): Promise<NatsServerProcess> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    await removePortsFiles(options.folder);
    const configPath = join(options.folder, "nats-server.conf");
    await Bun.write(configPath, renderNatsConfig(options));
    const server = new NatsServerProcess(options, configPath);
    try {
      server.#payload = await server.#becomeReady(options);
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  private constructor(options: NatsServerOptions, configPath: string) {
    this.#clock = options.clock;
    this.#guard = Bun.spawn(["/bin/sh", "-c", GUARD, "nats-server", options.program, "-c", configPath], {
      detached: true,
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.exited = this.#watchExit(options.log);
  }

  get pid(): number {
    return this.#guard.pid;
  }

  get payload(): NatsAddress {
    return this.#payload;
  }

  async stop(): Promise<ProcessExit> {
    if (!this.#stopping && !this.#gone) {
      this.#stopping = true;
      void this.#guard.stdin.end();
    }
    return this.exited;
  }

  kill(): void {
    // The guard's session: the server goes with it.
    if (!this.#gone) process.kill(-this.#guard.pid, "SIGKILL");
  }

  async #becomeReady(options: NatsServerOptions): Promise<NatsAddress> {
    const startedAt = this.#clock.now();
    while (this.#clock.now() - startedAt < START_DEADLINE_MS) {
      if (this.#gone) throw new ProcessStartError(this.name, (await this.exited).reason);
      if (options.signal?.aborted) throw new ProcessStartError(this.name, "the start was called off");
      const port = await readPort(options.folder);
      if (port !== undefined) {
        const host = WILDCARD_HOSTS.has(options.host) ? "127.0.0.1" : options.host;
        // The ports file is there a moment before the port is.
        if (await greets(host, port, options.serverName)) return { url: `nats://${host}:${port}`, port };
      }
      await Bun.sleep(POLL_MS);
    }
    throw new ProcessStartError(this.name, `no client could connect within ${START_DEADLINE_MS / 1000} s`);
  }

  async #watchExit(log: Log): Promise<ProcessExit> {
    const output = Promise.all([
      readLines(this.#guard.stdout, (line) => log.write("info", line, { actor: this.name })),
      readLines(this.#guard.stderr, (line) => {
        const { level: told, message } = parseNatsLogLine(line);
        // Only without a token are they plain, and then they are no secret.
        const level = message.startsWith("Plaintext passwords detected") ? "debug" : told;
        if (level !== "debug") this.#tail.push(message);
        log.write(level, message, { actor: this.name });
      }),
    ]);
    await this.#guard.exited;
    this.#gone = true;
    void this.#guard.stdin.end();
    await Promise.race([output, Bun.sleep(LAST_OUTPUT_MS)]);
    const code = this.#guard.exitCode;
    const signal = signalName(this.#guard.signalCode);
    return { code, signal, asked: this.#stopping, reason: describeEnd(code, signal, this.#tail) };
  }
}

const LAST_OUTPUT_MS = 200;
const WILDCARD_HOSTS = new Set(["0.0.0.0", "::", "[::]"]);
