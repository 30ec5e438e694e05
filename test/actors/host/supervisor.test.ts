import { describe, expect, test } from "bun:test";
import { appendFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChildProcess } from "../../../actors/host/child-process.ts";
import {
  type ProcessExit,
  ProcessStartError,
  type SupervisedProcess,
} from "../../../actors/host/supervised.ts";
import { Supervisor, type SupervisorEvent } from "../../../actors/host/supervisor.ts";
import { type Clock, systemClock } from "../../../actors/runtime/clock.ts";
import { silentLog } from "../../../actors/runtime/log.ts";
import type { ScriptSpec } from "./child-script.ts";
import { isAlive, waitUntilGone } from "./process-gone.ts";

/** Time that goes as far as each timer asks, at once. */
class LeapingClock implements Clock {
  readonly waits: number[] = [];
  #now = 0;

  now(): number {
    return this.#now;
  }

  setTimer(ms: number, callback: () => void): () => void {
    this.waits.push(ms);
    this.#now += ms;
    const timer = setTimeout(callback, 0);
    return () => clearTimeout(timer);
  }
}

/** A process that exists only in this test. */
class PretendProcess implements SupervisedProcess {
  readonly name = "pretend";
  readonly exited: Promise<ProcessExit>;
  readonly pid: number;
  readonly payload: unknown;
  readonly end: (exit: Partial<ProcessExit>) => void;

  constructor(pid: number) {
    this.pid = pid;
    this.payload = { pid };
    const { promise, resolve } = Promise.withResolvers<ProcessExit>();
    this.exited = promise;
    this.end = (exit) => resolve({ code: 1, signal: null, asked: false, reason: `crash ${pid}`, ...exit });
  }

  stop(): Promise<ProcessExit> {
    this.end({ asked: true, code: 0 });
    return this.exited;
  }

  kill(): void {
    this.end({ signal: "SIGKILL" });
  }
}

function supervise(options: { clock?: Clock; onEvent?: (event: SupervisorEvent) => void } = {}) {
  const events: SupervisorEvent[] = [];
  const clock = options.clock ?? new LeapingClock();
  const policy = { firstDelayMs: 10, delayMsMax: 40, restartsMax: 4, windowMs: 100_000 };
  const onEvent = (event: SupervisorEvent) => {
    events.push(event);
    options.onEvent?.(event);
  };
  return { supervisor: new Supervisor({ clock, policy, onEvent }), events };
}

describe("restarts", () => {
  test("wait twice as long each time, up to the limit, then escalate", async () => {
    const clock = new LeapingClock();
    const { supervisor, events } = supervise({ clock });
    let started = 0;
    const start = async () => {
      started += 1;
      const process = new PretendProcess(started);
      queueMicrotask(() => process.end({}));
      return process;
    };
    await supervisor.start({ name: "stage-1", start });
    const error = await supervisor.escalated;
    expect(error.message).toBe("stage-1 ended 5 times in a short while and is not started again: crash 5");
    expect(clock.waits).toEqual([10, 20, 40, 40]);
    expect(started).toBe(5);
    const kinds = events.map(({ kind }) => kind);
    const cycle = ["down", "restarted"];
    expect(kinds).toEqual(["up", ...cycle, ...cycle, ...cycle, ...cycle, "gave-up"] as typeof kinds);
    await supervisor.stop();
  });

  test("never end for a process that had run for a while each time", async () => {
    const clock = new LeapingClock();
    const over = Promise.withResolvers<void>();
    let [process, started] = [new PretendProcess(0), 0];
    const { supervisor, events } = supervise({
      clock,
      onEvent({ kind }) {
        if (started > 20) over.resolve();
        else if (kind !== "down") clock.setTimer(3_000, () => process.end({ signal: "SIGKILL" }));
      },
    });
    const start = async () => {
      process = new PretendProcess(++started);
      return process;
    };
    await supervisor.start({ name: "nats-server", start });
    await over.promise;
    await supervisor.stop();
    const delays = events.flatMap((event) => (event.kind === "down" ? [event.restartInMs] : []));
    expect(delays).toEqual(Array.from({ length: 20 }, () => 10));
  });

  test("go on when a restart itself fails", async () => {
    const again = Promise.withResolvers<void>();
    const { supervisor, events } = supervise({
      onEvent: ({ kind }) => kind === "restarted" && again.resolve(),
    });
    const processes: PretendProcess[] = [];
    let attempts = 0;
    const start = async () => {
      attempts += 1;
      if (attempts === 2) throw new ProcessStartError("stage-1", "no memory");
      const process = new PretendProcess(attempts);
      processes.push(process);
      return process;
    };
    await supervisor.start({ name: "stage-1", start });
    processes[0]?.end({});
    await again.promise;
    await supervisor.stop();
    expect(events).toEqual([
      { kind: "up", name: "stage-1", pid: 1, payload: { pid: 1 } },
      { kind: "down", name: "stage-1", reason: "crash 1", restartInMs: 10 },
      { kind: "down", name: "stage-1", reason: "stage-1 did not start: no memory", restartInMs: 20 },
      { kind: "restarted", name: "stage-1", pid: 3, payload: { pid: 3 }, restarts: 1 },
    ]);
  });

  test("end with stop, even while one waits for its turn", async () => {
    const down = Promise.withResolvers<void>();
    // Never calls back: the wait can only end by the stop.
    const clock: Clock = { now: () => 0, setTimer: () => () => {} };
    const { supervisor } = supervise({ clock, onEvent: ({ kind }) => kind === "down" && down.resolve() });
    const process = new PretendProcess(1);
    let started = 0;
    const start = async () => {
      started += 1;
      return process;
    };
    await supervisor.start({ name: "stage-1", start });
    process.end({});
    await down.promise;
    await supervisor.stop();
    expect(started).toBe(1);
  });
});

describe("first starts", () => {
  test("that fail reject at once and are not repeated", async () => {
    const { supervisor, events } = supervise();
    let started = 0;
    const start = async () => {
      started += 1;
      throw new ProcessStartError("gateway", "port 8080 is in use");
    };
    await expect(supervisor.start({ name: "gateway", start })).rejects.toThrow("port 8080 is in use");
    await supervisor.stop();
    expect(started).toBe(1);
    expect(events).toEqual([]);
  });

  test("that become ready during the stop are stopped too", async () => {
    const { supervisor } = supervise();
    const late = Promise.withResolvers<SupervisedProcess>();
    const process = new PretendProcess(1);
    const attempt = supervisor.start({ name: "stage-0", start: () => late.promise });
    const stopped = supervisor.stop();
    late.resolve(process);
    await expect(attempt).rejects.toThrow();
    await stopped;
    expect(await process.exited).toMatchObject({ asked: true });
  });

  test("are refused after the stop", async () => {
    const { supervisor } = supervise();
    await supervisor.stop();
    await expect(
      supervisor.start({ name: "late", start: async () => new PretendProcess(1) }),
    ).rejects.toThrow();
  });
});

describe("real child processes", () => {
  const command = [process.execPath, join(import.meta.dir, "child-script.ts")];
  const plan = (name: string, spec: ScriptSpec) => ({
    name,
    start: (signal: AbortSignal) =>
      ChildProcess.start({ name, command, spec, log: silentLog, clock: systemClock, signal }),
  });

  test("a killed child comes back with a new id, and stop leaves nothing running", async () => {
    const restarted = Promise.withResolvers<number>();
    const { supervisor } = supervise({
      clock: systemClock,
      onEvent: (event) => event.kind === "restarted" && restarted.resolve(event.pid),
    });
    const first = (await supervisor.start(plan("stage-0", { behaviour: "serve" }))) as { pid: number };
    process.kill(first.pid, "SIGKILL");
    const second = await restarted.promise;
    expect(second).not.toBe(first.pid);
    expect(isAlive(second)).toBe(true);
    await supervisor.stop();
    expect([first.pid, second].filter(isAlive)).toEqual([]);
  });

  test("are stopped in the reverse order of their starts", async () => {
    const folder = await mkdtemp(join(tmpdir(), "flowmesh-supervisor-"));
    const journal = join(folder, "journal");
    appendFileSync(journal, "");
    const { supervisor } = supervise({ clock: systemClock });
    const names = ["stage-0", "stage-1", "drafter", "gateway"];
    await Promise.all(
      names.map((name) =>
        supervisor.start(plan(name, { behaviour: "serve", echo: name, stopJournal: journal })),
      ),
    );
    await supervisor.stop();
    expect((await Bun.file(journal).text()).trim().split("\n")).toEqual(names.toReversed());
    await rm(folder, { recursive: true });
  });

  test("are gone at once after kill", async () => {
    const { supervisor } = supervise({ clock: systemClock });
    const payloads = await Promise.all([
      supervisor.start(plan("a", { behaviour: "ignore-stop" })),
      supervisor.start(plan("b", { behaviour: "serve" })),
    ]);
    supervisor.kill();
    await waitUntilGone((payloads as { pid: number }[]).map(({ pid }) => pid));
  });
});
