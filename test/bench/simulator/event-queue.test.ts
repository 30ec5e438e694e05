import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EventQueue } from "../../../bench/simulator/event-queue.ts";

describe("EventQueue", () => {
  test("runs events by time, and by order of arrival at the same time", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 })), (times) => {
        const queue = new EventQueue();
        const ran: { atMs: number; index: number }[] = [];
        times.forEach((atMs, index) => {
          queue.at(atMs, () => ran.push({ atMs: queue.nowMs, index }));
        });
        queue.run();
        const expected = times.map((atMs, index) => ({ atMs, index }));
        expect(ran).toEqual(expected.sort((a, b) => a.atMs - b.atMs || a.index - b.index));
      }),
    );
  });

  test("runs what events add, and never turns back time", () => {
    const queue = new EventQueue();
    const ran: string[] = [];
    queue.at(5, () => {
      ran.push("first");
      queue.at(2, () => ran.push(`late at ${queue.nowMs}`));
      queue.at(7, () => ran.push(`then at ${queue.nowMs}`));
    });
    queue.at(6, () => ran.push("second"));
    queue.run();
    expect(ran).toEqual(["first", "late at 5", "second", "then at 7"]);
  });
});
