import { describe, expect, test } from "bun:test";
import { Pace } from "../../../models/pace.ts";
import { SimulatedClock } from "../../simulated-clock.ts";

const COSTS = [
  { nodes: 1, ms: 24 },
  { nodes: 4, ms: 36 },
];

/** A segment whose real work takes so long; gives the time at which it is let go. */
async function play(pace: Pace, clock: SimulatedClock, nodes: number, realMs: number): Promise<number> {
  const beginMs = clock.now();
  await clock.advance(realMs);
  let doneMs = Number.NaN;
  void pace.hold(nodes, beginMs).then(() => {
    doneMs = clock.now() - beginMs;
  });
  await clock.advance(1000);
  return doneMs;
}

describe("a pace", () => {
  test("holds a segment until the device would be done, from the moment at which it was begun", async () => {
    const clock = new SimulatedClock();
    const pace = new Pace(COSTS, clock);
    expect(await play(pace, clock, 1, 5)).toBeCloseTo(24, 9);
    expect(await play(pace, clock, 2, 5)).toBeCloseTo(28, 9);
    expect(await play(pace, clock, 4, 30)).toBeCloseTo(36, 9);
    expect(clock.pending).toBe(0);
  });

  test("lets go at once what took longer, and segments without nodes", async () => {
    const clock = new SimulatedClock();
    const pace = new Pace(COSTS, clock);
    expect(await play(pace, clock, 1, 30)).toBe(30);
    expect(await play(pace, clock, 0, 3)).toBe(3);
  });

  test("counts what fitted badly and what did not fit", async () => {
    const clock = new SimulatedClock();
    const pace = new Pace(COSTS, clock);
    for (const realMs of [1, 14, 15, 23, 25]) await play(pace, clock, 1, realMs);
    await play(pace, clock, 0, 100);
    expect(pace.fit).toEqual({ segments: 5, tight: 2, late: 1 });
  });
});
