import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PrefillTurns } from "../../actors/prefill-turns.ts";
import { SimulatedClock } from "../simulated-clock.ts";

const runFor = (clock: SimulatedClock, ms: number) => {
  const untilMs = clock.now() + ms;
  while (clock.step(untilMs));
};

describe("sessions that all have to prefill again", () => {
  test("start in the order of their activity, two at a time", () => {
    const activity = fc.uniqueArray(fc.integer({ min: 0, max: 1e6 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(activity, fc.infiniteStream(fc.boolean()), (times, first) => {
        const clock = new SimulatedClock();
        const turns = new PrefillTurns(clock);
        const started: number[] = [];
        const running: number[] = [];
        for (const time of times) {
          turns.wait(String(time), time, () => {
            started.push(time);
            running.push(time);
          });
        }
        expect(started).toEqual([]);
        runFor(clock, 5);
        while (running.length > 0) {
          expect(running.length).toBe(Math.min(2, times.length - started.length + running.length));
          const [done = 0] = running.splice(first.next().value ? 0 : -1, 1);
          turns.release(String(done));
        }
        expect(started).toEqual(times.toSorted((a, b) => b - a));
        expect(clock.pending).toBe(0);
      }),
    );
  });

  test("are not held up by one that never finishes, nor by one that ends while it waits", () => {
    const clock = new SimulatedClock();
    const turns = new PrefillTurns(clock);
    const started: string[] = [];
    for (const [i, sid] of ["e", "d", "c", "b", "a"].entries()) turns.wait(sid, i, () => started.push(sid));
    turns.release("c");
    runFor(clock, 100);
    expect(started).toEqual(["a", "b"]);
    runFor(clock, 11_000);
    expect(started).toEqual(["a", "b", "d", "e"]);
  });

  test("ask again while they wait or prefill, and start once more only for that", () => {
    const clock = new SimulatedClock();
    const turns = new PrefillTurns(clock);
    const started: string[] = [];
    turns.wait("a", 1, () => started.push("first"));
    turns.wait("a", 1, () => started.push("second"));
    runFor(clock, 100);
    expect(started).toEqual(["second"]);
    turns.wait("a", 1, () => started.push("third"));
    runFor(clock, 100);
    expect(started).toEqual(["second", "third"]);
    turns.release("a");
    expect(clock.pending).toBe(0);
  });
});
