import { describe, expect, test } from "bun:test";
import { firstGeneration } from "../../actors/messages.ts";
import { StageSessions } from "../../actors/stage-sessions.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import type { SegmentFrame } from "../../transport/frame.ts";

const SPEC = new TextEncoder().encode(
  JSON.stringify({
    sampling: GREEDY,
    stopTokens: [],
    lastPosition: 9,
    prefillEnd: 2,
    promptTokens: 3,
    prunes: true,
  }),
);
const NO_NODES = {
  ids: new Uint32Array(0),
  parents: new Uint32Array(0),
  tokens: new Uint32Array(0),
  positions: new Uint32Array(0),
};

function segment(generation: number, sequence: number): SegmentFrame {
  const spec = sequence === 0 ? { spec: SPEC } : {};
  return {
    kind: "segment",
    epoch: 1,
    generation,
    sequence,
    committed: true,
    certain: 0,
    nodes: NO_NODES,
    width: 0,
    ...spec,
  };
}

/** What becomes of each segment, in the order of their arrival. */
function kinds(...arrivals: [generation: number, sequence: number][]): string[] {
  const sessions = new StageSessions();
  return arrivals.map(
    ([generation, sequence]) => sessions.arrive("s", segment(generation, sequence), 0).kind,
  );
}

describe("StageSessions", () => {
  test("takes segments in order, from the one that begins a generation", () => {
    expect(kinds([0, 0], [0, 1], [0, 2])).toEqual(["fresh", "next", "next"]);
  });

  test("drops repeats and older generations", () => {
    expect(kinds([0, 0], [0, 1], [0, 1], [0, 0])).toEqual(["fresh", "next", "stale", "stale"]);
    expect(kinds([0, 0], [1, 0], [0, 1], [1, 1])).toEqual(["fresh", "fresh", "stale", "next"]);
  });

  test("reports a hole once, and takes nothing more of that generation", () => {
    expect(kinds([0, 0], [0, 2], [0, 3], [0, 1], [1, 0])).toEqual([
      "fresh",
      "gap",
      "stale",
      "stale",
      "fresh",
    ]);
  });

  test("takes nothing more of a session that has ended, and all of a later attempt of it", () => {
    const sessions = new StageSessions();
    const kind = (generation: number, sequence: number) =>
      sessions.arrive("s", segment(generation, sequence), 0).kind;
    sessions.end("s", 0, 0);
    expect([kind(0, 0), kind(1, 0), kind(0, 1)]).toEqual(["stale", "stale", "stale"]);
    expect(sessions.size).toBe(0);
    const again = firstGeneration(1);
    expect([kind(again, 0), kind(again, 1)]).toEqual(["fresh", "next"]);
    sessions.end("s", 1, 0);
    expect([kind(again, 2), kind(again + 1, 0)]).toEqual(["stale", "stale"]);
    expect(sessions.size).toBe(0);
    sessions.idle(16 * 60_000);
    expect(kind(again + 2, 0)).toBe("fresh");
  });

  test("reports a session that it does not know, as after a restart", () => {
    expect(kinds([3, 7], [3, 8], [4, 0])).toEqual(["gap", "stale", "fresh"]);
  });

  test("forgets sessions and gaps that nobody mentions for a quarter of an hour", () => {
    const sessions = new StageSessions();
    sessions.arrive("quiet", segment(0, 0), 0);
    sessions.arrive("broken", segment(0, 5), 0);
    sessions.arrive("busy", segment(0, 0), 0);
    sessions.arrive("busy", segment(0, 1), 900_000);
    expect(sessions.idle(900_001)).toEqual(["quiet"]);
    expect(sessions.arrive("broken", segment(0, 6), 900_002).kind).toBe("gap");
  });
});
