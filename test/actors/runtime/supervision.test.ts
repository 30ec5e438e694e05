import { describe, expect, test } from "bun:test";
import { judgeCrash, type SupervisionPolicy } from "../../../actors/runtime/supervision.ts";

const policy: SupervisionPolicy = { firstDelayMs: 10, delayMsMax: 50, restartsMax: 5, windowMs: 1000 };

/** The verdicts on crashes at these times, each history handed on to the next. */
function verdicts(...times: number[]) {
  let crashes: readonly number[] = [];
  return times.map((at) => {
    const verdict = judgeCrash(crashes, at, policy);
    crashes = verdict.crashes;
    return verdict.next.kind === "restart" ? verdict.next.delayMs : "escalate";
  });
}

describe("judgeCrash", () => {
  test("doubles the delay up to its limit, then gives up", () => {
    expect(verdicts(0, 1, 2, 3, 4, 5)).toEqual([10, 20, 40, 50, 50, "escalate"]);
  });

  test("forgets crashes that are older than the window", () => {
    expect(verdicts(0, 999, 1000, 1998, 1999, 3000)).toEqual([10, 20, 20, 40, 40, 10]);
  });

  test("never gives up on an actor that crashes slowly, nor remembers more than it needs", () => {
    let crashes: readonly number[] = [];
    for (let at = 0; at < 100_000; at += 250) {
      const verdict = judgeCrash(crashes, at, policy);
      crashes = verdict.crashes;
      expect(verdict.next.kind).toBe("restart");
      expect(crashes.length).toBeLessThanOrEqual(policy.restartsMax);
    }
  });
});
