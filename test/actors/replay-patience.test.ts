import { describe, expect, test } from "bun:test";
import { ReplayPatience } from "../../actors/replay-patience.ts";
import { SimulatedClock } from "../simulated-clock.ts";

/** Replays every `everyMs` until it is told to give up; gives how often, and after how long. */
function replayUntilGivenUp(everyMs: number, isPipelinesFault = true) {
  const clock = new SimulatedClock();
  const patience = new ReplayPatience(clock);
  let allowed = 0;
  for (; allowed < 100_000 && patience.allows(isPipelinesFault); allowed++) {
    clock.setTimer(everyMs, () => {});
    clock.step();
  }
  return { allowed, ms: clock.now() };
}

describe("a session that replays without fruit", () => {
  test("gives up after two minutes, however quick the replays are", () => {
    expect(replayUntilGivenUp(10)).toEqual({ allowed: 12_001, ms: 120_010 });
  });

  test("gives up after sixteen replays, however long they take", () => {
    expect(replayUntilGivenUp(60_000).allowed).toBe(16);
  });

  test("never gives up for what is not the pipeline's fault", () => {
    expect(replayUntilGivenUp(60_000, false).allowed).toBe(100_000);
  });

  test("has all its patience again after a token", () => {
    const clock = new SimulatedClock();
    const patience = new ReplayPatience(clock);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 16; i++) {
        clock.setTimer(60_000, () => {});
        clock.step();
        expect(patience.allows(true)).toBe(true);
      }
      patience.renew();
    }
  });
});
