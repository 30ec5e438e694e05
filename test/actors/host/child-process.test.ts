import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type ChildOptions, ChildProcess } from "../../../actors/host/child-process.ts";
import { systemClock } from "../../../actors/runtime/clock.ts";
import type { ScriptSpec } from "./child-script.ts";
import { isAlive } from "./process-gone.ts";
import { RecordedLog } from "./recorded-log.ts";

const started: ChildProcess[] = [];
let log = new RecordedLog();

function options(spec: ScriptSpec, more: Partial<ChildOptions> = {}): ChildOptions {
  log = new RecordedLog();
  const command = [process.execPath, join(import.meta.dir, "child-script.ts")];
  return { name: "stage-0", command, spec, log, clock: systemClock, ...more };
}

async function start(spec: ScriptSpec, more: Partial<ChildOptions> = {}): Promise<ChildProcess> {
  const child = await ChildProcess.start(options(spec, more));
  started.push(child);
  return child;
}

afterEach(() => {
  for (const child of started.splice(0)) if (child.state !== "exited") child.kill();
});

describe("a child that works", () => {
  test("hands its spec to the child and the child's payload back", async () => {
    const child = await start({ behaviour: "serve", echo: { layers: [0, 8], text: "ä€𝄞" } });
    expect(child.state).toBe("ready");
    expect(child.payload).toEqual({ echo: { layers: [0, 8], text: "ä€𝄞" }, pid: child.pid });
  });

  test("stops when asked, with exit code 0, and says that it was asked", async () => {
    const child = await start({ behaviour: "serve" });
    expect(await child.stop()).toMatchObject({ code: 0, signal: null, asked: true });
    expect(child.state).toBe("exited");
    expect(isAlive(child.pid)).toBe(false);
    expect(await child.stop()).toMatchObject({ code: 0 });
  });

  test("forwards its output and its log under its name", async () => {
    const child = await start({ behaviour: "serve" });
    await child.stop();
    const actor = "stage-0";
    expect(log.records).toContainEqual({ level: "info", message: "a line on stdout", fields: { actor } });
    expect(log.records).toContainEqual({ level: "warn", message: "a line on stderr", fields: { actor } });
    expect(log.records).toContainEqual({
      level: "info",
      message: "a record",
      fields: { actor, answer: 42, error: "the weights are missing" },
    });
  });
});

describe("a child that does not start", () => {
  test("gives the message of an expected error, without a stack", async () => {
    const attempt = start({ behaviour: "refuse" });
    await expect(attempt).rejects.toThrow(/^stage-0 did not start: the weights are missing$/);
  });

  test("gives the stack of a defect", async () => {
    await expect(start({ behaviour: "throw" })).rejects.toThrow(
      /undefined is not a model.*child-script\.ts/s,
    );
  });

  test("is ended at the start deadline", async () => {
    const attempt = start({ behaviour: "never-ready" }, { startDeadlineMs: 500 });
    await expect(attempt).rejects.toThrow("stage-0 did not start: not ready after 0.5 s");
  });

  test("is ended when its start is called off", async () => {
    const abort = new AbortController();
    const attempt = start({ behaviour: "never-ready" }, { signal: abort.signal });
    abort.abort();
    await expect(attempt).rejects.toThrow("the start was called off");
  });

  test("shows the last lines of a program that knows nothing of the protocol", async () => {
    const command = ["/bin/sh", "-c", "echo no such model >&2; exit 3"];
    const attempt = start({ behaviour: "serve" }, { command });
    await expect(attempt).rejects.toThrow("it ended with exit code 3; its last lines:\nno such model");
  });
});

describe("a child that ends by itself", () => {
  test("by a crash: its exit is seen, and was not asked for", async () => {
    const child = await start({ behaviour: "crash-when-ready" });
    expect(await child.exited).toMatchObject({ code: 7, asked: false });
    expect(child.state).toBe("exited");
  });

  test("by SIGKILL from outside", async () => {
    const child = await start({ behaviour: "serve" });
    process.kill(child.pid, "SIGKILL");
    expect(await child.exited).toMatchObject({ signal: "SIGKILL", asked: false });
  });

  test("by its own decision: the reason is the one it gave", async () => {
    const child = await start({ behaviour: "fail-when-ready" });
    expect(await child.exited).toMatchObject({ code: 1, asked: false, reason: "the weights are missing" });
  });
});

test("a child that does not stop when asked is killed after the grace", async () => {
  const child = await start({ behaviour: "ignore-stop" }, { stopGraceMs: 100 });
  expect(await child.stop()).toMatchObject({ signal: "SIGKILL", asked: true });
});
