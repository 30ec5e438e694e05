import { describe, expect, test } from "bun:test";
import { type DemandMessage, SeenDemand, tokenMs } from "../../../actors/mesh/demand.ts";

const fresh = (policy: string, facts: { drafts?: boolean; sessionsLeast?: number } = {}) =>
  new SeenDemand({ policy, drafts: true, sessionsLeast: 1, ...facts });

const SECONDS = 1000;
/** Two seconds of four sessions that decode plainly. */
const FOUR_PLAIN: DemandMessage = {
  ...{ spanMs: 2 * SECONDS, sessions: 4, tokens: 16, commits: 16, misses: 16, segments: 16, nodes: 16 },
};

function hearFor(seen: SeenDemand, message: DemandMessage, seconds: number, from = 0): void {
  for (let at = from + 2; at <= from + seconds; at += 2) seen.hear(message, at * SECONDS);
}

describe("a predicted time per token", () => {
  const times = { slotMs: 20, loopMs: 100 };
  const plain = { sessions: 1, segmentNodes: 1, commitsPerToken: 1, missesPerToken: 1 };

  test("is a loop for plain decoding, and a slot when nothing misses or many ask", () => {
    expect(tokenMs(times, plain)).toBe(100);
    expect(tokenMs(times, { ...plain, missesPerToken: 0 })).toBe(20);
    expect(tokenMs(times, { ...plain, sessions: 2 })).toBe(50);
    expect(tokenMs(times, { ...plain, sessions: 50 })).toBe(20);
  });

  test("is shorter where a commit has several tokens", () => {
    const demand = { ...plain, commitsPerToken: 0.5, missesPerToken: 0.25 };
    expect(tokenMs(times, demand)).toBe(0.25 * 100 + 0.25 * 20);
    expect(tokenMs(times, { ...demand, sessions: 50 })).toBe(10);
  });
});

describe("the demand of a mesh", () => {
  test("is at first that of one request, or as many as it is to be ready for", () => {
    const plain = { sessions: 1, segmentNodes: 1, commitsPerToken: 1, missesPerToken: 1 };
    expect(fresh("autoregressive").at(0)).toEqual(plain);
    expect(fresh("fullflow", { drafts: false }).at(0)).toEqual(plain);
    const speculative = fresh("fullflow:gain=1").at(0);
    expect(speculative.segmentNodes).toBeGreaterThan(1);
    expect(speculative.missesPerToken).toBeLessThan(speculative.commitsPerToken);
    expect(fresh("autoregressive", { sessionsLeast: 8 }).at(0)).toEqual({ ...plain, sessions: 8 });
  });

  test("is more and more what is seen, and when nothing happens what it was at first", () => {
    const seen = fresh("fullflow");
    const atFirst = seen.at(0);
    hearFor(seen, FOUR_PLAIN, 10);
    const soon = seen.at(10 * SECONDS);
    hearFor(seen, FOUR_PLAIN, 110, 10);
    const later = seen.at(120 * SECONDS);
    expect(soon.sessions).toBeGreaterThan(2);
    expect(later.sessions).toBeGreaterThan(soon.sessions);
    expect(later.sessions).toBeLessThanOrEqual(4);
    expect(later.missesPerToken).toBeGreaterThan(soon.missesPerToken);
    expect(later.segmentNodes).toBeLessThan(soon.segmentNodes);
    expect(seen.at(1200 * SECONDS)).toEqual(atFirst);
  });

  test("is never below the number that it is to be ready for", () => {
    const seen = fresh("fullflow", { sessionsLeast: 6 });
    hearFor(seen, FOUR_PLAIN, 60);
    expect(seen.at(60 * SECONDS).sessions).toBe(6);
  });
});
