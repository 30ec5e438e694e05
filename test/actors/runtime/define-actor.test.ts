import { describe, expect, test } from "bun:test";
import * as v from "valibot";
import type { ActorRef } from "../../../actors/runtime/actor.ts";
import { systemClock } from "../../../actors/runtime/clock.ts";
import { defineActor } from "../../../actors/runtime/define-actor.ts";
import { type Log, silentLog } from "../../../actors/runtime/log.ts";
import { errorOf } from "../../../actors/runtime/service-error.ts";
import { spawn } from "../../../actors/runtime/spawn.ts";
import { SubjectError } from "../../../transport/errors.ts";
import { MemoryMesh } from "../../../transport/memory.ts";
import { settle } from "../../simulated-clock.ts";

const encoder = new TextEncoder();

/** A counter with two kinds of message, as a user would write it. */
function counter() {
  let total = 0;
  return defineActor({
    name: "counter",
    description: "Adds up",
    start: () => {
      total = 0;
    },
    on: {
      "count.add": {
        schema: v.object({ amount: v.pipe(v.number(), v.integer()), note: v.optional(v.string(), "none") }),
        handle({ amount, note }) {
          if (note === "crash") throw new Error("as you wish");
          total += amount;
          return { total, note };
        },
      },
      "count.*.reset": {
        lane: "urgent",
        schema: v.null(),
        handle(payload, { name }, { subject }) {
          total = 0;
          return [payload, name, subject];
        },
      },
      "count.quiet": { schema: v.string(), handle: () => undefined },
    },
  });
}

async function withCounter(work: (ask: Ask, ref: ActorRef) => Promise<void>) {
  const mesh = new MemoryMesh();
  const ref = await spawn(counter(), { transport: mesh.connect("host"), clock: systemClock, log: silentLog });
  const client = mesh.connect("client");
  const ask: Ask = async (subject, body) => {
    const answer = await client.request(subject, encoder.encode(body), { timeoutMs: 1000 });
    const error = errorOf(answer);
    if (error !== undefined) return { code: error.code, text: error.message };
    return JSON.parse(new TextDecoder().decode(answer.body));
  };
  await work(ask, ref);
  await ref.stop();
}
type Ask = (subject: string, body: string) => Promise<unknown>;

describe("defineActor", () => {
  test("parses what comes in and answers with what handle gives", () =>
    withCounter(async (ask) => {
      expect(await ask("count.add", '{"amount": 2}')).toEqual({ total: 2, note: "none" });
      expect(await ask("count.add", '{"amount": 3, "note": "x", "more": 1}')).toEqual({
        total: 5,
        note: "x",
      });
      expect(await ask("count.now.reset", "null")).toEqual([null, "counter", "count.now.reset"]);
      expect(await ask("count.add", '{"amount": 1}')).toEqual({ total: 1, note: "none" });
    }));

  test("tells a sender that waits what is wrong, and goes on", () =>
    withCounter(async (ask, ref) => {
      expect(await ask("count.add", '{"amount": 1.5, "note": 3}')).toEqual({
        code: 400,
        text:
          "message on count.add is refused: amount: Invalid integer: Received 1.5; " +
          "note: Invalid type: Expected string but received 3",
      });
      expect(await ask("count.now.reset", "1")).toEqual({
        code: 400,
        text: "message on count.now.reset is refused: Invalid type: Expected null but received 1",
      });
      expect(await ask("count.add", "{amount")).toMatchObject({
        code: 400,
        text: expect.stringMatching(/^message on count.add is refused: not JSON \(.+\)$/),
      });
      expect(await ask("count.add", '{"amount": 1}')).toEqual({ total: 1, note: "none" });
      expect(ref.stats).toMatchObject({ failed: 0, restarts: 0 });
    }));

  test("logs what is wrong when nobody waits", async () => {
    const mesh = new MemoryMesh();
    const warnings: string[] = [];
    const log: Log = { write: (_level, message) => void warnings.push(message) };
    const ref = await spawn(counter(), { transport: mesh.connect("host"), clock: systemClock, log });
    mesh.connect("client").publish("count.quiet", encoder.encode("{}"));
    await settle();
    expect(warnings).toEqual([
      "message on count.quiet is refused: Invalid type: Expected string but received Object",
    ]);
    await ref.stop();
  });

  test("an error in handle is a crash: the sender is told, and start runs again", () =>
    withCounter(async (ask, ref) => {
      await ask("count.add", '{"amount": 7}');
      expect(await ask("count.add", '{"amount": 1, "note": "crash"}')).toEqual({
        code: 500,
        text: "counter failed: as you wish",
      });
      while (ref.stats.restarts === 0) await settle();
      expect(await ask("count.add", '{"amount": 1}')).toEqual({ total: 1, note: "none" });
    }));

  test("patterns must be allowed, and no message may fit two of them", () => {
    const reaction = { schema: v.null(), handle: () => null };
    const define = (...patterns: string[]) =>
      defineActor({
        name: "any",
        description: "",
        on: Object.fromEntries(patterns.map((pattern) => [pattern, reaction])),
      });
    expect(() => define("a..b")).toThrow(SubjectError);
    expect(() => define("a.*", "a.b")).toThrow('patterns "a.*" and "a.b" overlap');
    expect(() => define("a.>", "b", "*.c.d")).toThrow('patterns "a.>" and "*.c.d" overlap');
    expect(define("a.*", "a.b.c", "b").name).toBe("any");
  });
});
