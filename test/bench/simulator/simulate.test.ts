import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Guess, PlayedSession } from "../../../bench/simulator/guess.ts";
import { JSON_BYTES, segmentBytes } from "../../../bench/simulator/message-sizes.ts";
import { type SimulationOptions, simulate } from "../../../bench/simulator/simulate.ts";
import { SYNTHETIC_DRAFTERS, syntheticSessions } from "../../../bench/simulator/synthetic-trace.ts";
import { PipelineCosts, type SegmentCosts } from "../../../decoding/costs.ts";
import { POLICIES } from "../../../decoding/policies/registry.ts";

const AT_ONCE = { extendMs: 0, pass: [{ nodes: 1, ms: 0 }] };
const DIRECT = { delayMs: 0 };
/** Ten milliseconds for each node: no segment is worth more than one. */
const NARROW: SegmentCosts = [
  { nodes: 1, ms: 10 },
  { nodes: 2, ms: 20 },
];

const uniform = (stages: number, table: SegmentCosts) =>
  new PipelineCosts(Array.from({ length: stages }, () => table));

const synthetic = (sessions: number, tokens: number, seed: number) =>
  syntheticSessions({ drafter: SYNTHETIC_DRAFTERS.average, sessions, tokens, seed });

/** One guess a node, which is right where `isRight` says so. */
function chainSession(tokens: number, isRight: (index: number) => boolean): PlayedSession {
  const answer = Array.from({ length: tokens }, (_, index) => 100 + index);
  const below = (index: number, alive: boolean): Guess[] => {
    if (index + 1 >= tokens) return [];
    const right = alive && isRight(index + 1);
    const token = right ? 100 + index + 1 : 9000 + index;
    return [
      {
        token,
        logProb: -0.01,
        get children() {
          return below(index + 1, right);
        },
      },
    ];
  };
  return {
    tokens: answer,
    guessesBelow: (index) => ({ token: 100 + index, logProb: 0, children: below(index, true) }),
  };
}

const CHAIN = "flowspec:total=60,expandTotal=60,topK=1,depth=59,segment=1,appended=1";

describe("simulate", () => {
  test("plain decoding takes one way through the pipeline a token, to the last bit of the formula", () => {
    for (const stages of [1, 2, 5]) {
      const link = { delayMs: 3, mbps: 10 };
      const hidden = 64;
      const result = simulate({
        sessions: synthetic(1, 20, 1),
        policy: "autoregressive",
        costs: uniform(stages, NARROW),
        link,
        overheadMs: 0.5,
        hidden,
        taps: 0,
      });
      const transferMs = (bytes: number) => (bytes * 8) / 10_000;
      const between = transferMs(segmentBytes(1, hidden));
      // The first stage's credit leaves before the segment.
      const credit = stages > 1 ? transferMs(JSON_BYTES) : 0;
      const messages = transferMs(segmentBytes(1, 0)) + credit + transferMs(JSON_BYTES);
      const perToken = stages * 10 + (stages + 1) * (link.delayMs + 0.5) + (stages - 1) * between + messages;
      expect(result.ms / result.tokens).toBeCloseTo(perToken, 9);
      expect(result.tokens).toBe(19);
      expect(result).toMatchObject({ tokensPerCommit: 1, missShare: 1, nodesPerToken: 1, deadShare: 0 });
    }
  });

  test("with an oracle for a drafter a token comes each stage-time, however many stages and however long links", () => {
    for (const [stages, delayMs] of [
      [1, 0],
      [4, 0],
      [4, 25],
      [12, 2],
    ] as const) {
      const result = simulate({
        sessions: [chainSession(400, () => true)],
        policy: CHAIN,
        costs: uniform(stages, NARROW),
        link: { ...DIRECT, delayMs },
        drafter: AT_ONCE,
        overheadMs: 0,
        taps: 0,
      });
      const roundTripMs = stages * 10 + (stages + 1) * delayMs;
      expect(result.ms - roundTripMs).toBeLessThan(1.05 * 10 * result.tokens);
      expect(result.ms).toBeGreaterThanOrEqual(10 * result.tokens);
      expect(result.missShare).toBe(0);
    }
  });

  test("one chain of single nodes: a hit costs a stage-time and a miss a round trip", () => {
    for (const [stages, delayMs, every] of [
      [4, 0, 4],
      [8, 5, 5],
      [6, 1, 2],
    ] as const) {
      const result = simulate({
        sessions: [chainSession(600, (index) => index % every !== 0)],
        policy: CHAIN,
        costs: uniform(stages, NARROW),
        link: { ...DIRECT, delayMs },
        drafter: AT_ONCE,
        overheadMs: 0,
        taps: 0,
      });
      const roundTripMs = stages * 10 + (stages + 1) * delayMs;
      const m = result.missShare;
      expect(m).toBeCloseTo(1 / every, 2);
      // The corrected root waits for at most one segment that the first stage has begun.
      expect(result.recoveryMs).toBeGreaterThanOrEqual(roundTripMs);
      expect(result.recoveryMs).toBeLessThanOrEqual(roundTripMs + 10);
      const predicted = m * result.recoveryMs + (1 - m) * 10;
      expect(Math.abs(result.ms / result.tokens / predicted - 1)).toBeLessThan(0.03);
    }
  });

  test("no policy, stage count, link or number of sessions changes the answers", () => {
    fc.assert(
      fc.property(
        fc.record({
          policy: fc.constantFrom(...POLICIES.keys()),
          stages: fc.integer({ min: 1, max: 7 }),
          delayMs: fc.constantFrom(0, 0.3, 20),
          mbps: fc.constantFrom(1, 150, Number.POSITIVE_INFINITY),
          overheadMs: fc.constantFrom(0, 0.25),
          taps: fc.integer({ min: 0, max: 3 }),
          concurrent: fc.integer({ min: 1, max: 4 }),
          seed: fc.nat(),
        }),
        ({ stages, delayMs, mbps, seed, ...rest }) => {
          const sessions = synthetic(4, 24, seed);
          const costs = uniform(stages, [
            { nodes: 1, ms: 5 },
            { nodes: 8, ms: 9 },
          ]);
          const result = simulate({ sessions, costs, link: { delayMs, mbps }, ...rest });
          expect(result.sessions.map(({ answer }) => answer as readonly number[])).toEqual(
            sessions.map(({ tokens }) => tokens),
          );
          expect(result.tokens).toBe(4 * 23);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("is the same each time", () => {
    const options = (): SimulationOptions => ({
      sessions: synthetic(6, 32, 7),
      policy: "flowspec",
      costs: uniform(3, NARROW),
      link: { delayMs: 2, mbps: 50 },
      concurrent: 3,
      timeLine: true,
    });
    expect(simulate(options())).toEqual(simulate(options()));
  });

  test("a stage does one thing at a time, and what it did adds up", () => {
    const result = simulate({
      sessions: synthetic(5, 32, 3),
      policy: "flowspec",
      costs: uniform(4, NARROW),
      link: { delayMs: 1, mbps: 100 },
      concurrent: 5,
      timeLine: true,
    });
    for (const [stage, { liveMs, deadMs }] of result.busy.entries()) {
      const own = result.timeLine.filter((entry) => entry.stage === stage);
      own.reduce((before, entry) => {
        expect(entry.beginMs).toBeGreaterThanOrEqual(before.endMs);
        return entry;
      });
      const spentMs = own.reduce((sum, { beginMs, endMs }) => sum + endMs - beginMs, 0);
      expect(liveMs + deadMs).toBeCloseTo(spentMs, 6);
    }
    const computed = result.timeLine.filter(({ stage }) => stage === 3);
    const live = computed.reduce((sum, entry) => sum + entry.live, 0);
    expect(live).toBeGreaterThanOrEqual(result.tokens);
  });

  test("sessions at once fill the stages that one leaves idle", () => {
    const play = (concurrent: number) =>
      simulate({
        sessions: synthetic(8, 32, 5),
        policy: "autoregressive",
        costs: uniform(4, NARROW),
        link: { ...DIRECT, delayMs: 1 },
        concurrent,
      });
    const [one, four] = [play(1), play(4)];
    expect(four.tokens).toBe(one.tokens);
    expect(four.tokensPerSecond / one.tokensPerSecond).toBeGreaterThan(3);
    expect(four.tokensPerSecond / one.tokensPerSecond).toBeLessThanOrEqual(4.01);
  });

  test("maxTokens cuts the answers", () => {
    const sessions = synthetic(2, 32, 5);
    const result = simulate({
      sessions,
      policy: "fullflow",
      costs: uniform(2, NARROW),
      link: DIRECT,
      maxTokens: 10,
    });
    expect(result.sessions.map(({ answer }) => answer.length)).toEqual([10, 10]);
  });
});
