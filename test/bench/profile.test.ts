import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { addProfiles, type ProfileSetting, profileSession, TIME_KINDS } from "../../bench/profile.ts";
import type { SessionRecord } from "../../bench/session-record.ts";
import { madeCommit, madeRecord, madeSegment, madeWork } from "./made-records.ts";

const NO_LINK = { delayMs: 0 };
/** Two stages whose model takes all of their time but the last millisecond. */
const SETTING: ProfileSetting = {
  stageCount: 2,
  link: NO_LINK,
  modelMs: ({ beginMs, endMs }) => endMs - beginMs - 1,
};

describe("a token of plain decoding", () => {
  // From the commit at 100 to the one at 130: sent at 102, 10 ms in each stage, and some time between them.
  const record = madeRecord({
    commits: [madeCommit({ atMs: 100, segment: 0 }), madeCommit({ atMs: 130, segment: 1, position: 1 })],
    segments: [madeSegment({ atMs: 102, sequence: 1, bytes: 1000 })],
    work: [
      madeWork({ stage: 0, segment: 1, beginMs: 104, endMs: 114, bytes: 1000 }),
      madeWork({ stage: 1, segment: 1, beginMs: 117, endMs: 127, bytes: 1000 }),
    ],
  });

  test("is the model, and the framework for all the rest", () => {
    const { tokens, ms } = profileSession(record, SETTING);
    expect(tokens).toBe(1);
    expect(ms).toEqual({ model: 18, link: 0, queueing: 0, drafting: 0, framework: 12 });
  });

  test("passes one link more than there are stages, each for its delay and its bytes", () => {
    // 1000 bytes take half a millisecond at 16 Mbit/s.
    const { ms } = profileSession(record, { ...SETTING, link: { delayMs: 1, mbps: 16 } });
    expect(ms).toEqual({ model: 18, link: 4.5, queueing: 0, drafting: 0, framework: 7.5 });
  });

  test("waits for the drafter, and for a first stage that is still busy, before it is sent", () => {
    const later = madeRecord({
      ...record,
      commits: [madeCommit({ atMs: 80, segment: 0 }), madeCommit({ atMs: 130, segment: 1, position: 1 })],
      work: [madeWork({ stage: 0, segment: 0, beginMs: 60, endMs: 85 }), ...record.work],
      draftings: [{ beginMs: 90, endMs: 98 }],
    });
    const { ms } = profileSession(later, SETTING);
    expect(ms).toEqual({ model: 18, link: 0, queueing: 5, drafting: 8, framework: 19 });
  });
});

describe("tokens that flow", () => {
  // Segments follow each other through the stages; each commit comes from the next one.
  const record = madeRecord({
    commits: [3, 4, 5].map((segment) => madeCommit({ atMs: 100 + segment * 10, segment, tokens: [1, 2] })),
    segments: [3, 4, 5].map((sequence) => madeSegment({ atMs: 75 + sequence * 10, sequence })),
    work: [3, 4, 5].flatMap((segment) => [
      madeWork({ stage: 0, segment, beginMs: 80 + segment * 10, endMs: 90 + segment * 10 }),
      madeWork({ stage: 1, segment, beginMs: 90 + segment * 10, endMs: 99 + segment * 10 }),
    ]),
  });

  test("cost one stage's time each: what went before it is hidden behind other tokens", () => {
    const { tokens, ms } = profileSession(record, SETTING);
    expect(tokens).toBe(4);
    // Of each ten milliseconds: eight in the last stage, one of its framework, one to the commit.
    expect(ms).toEqual({ model: 16, link: 0, queueing: 0, drafting: 0, framework: 4 });
  });

  test("queue where a policy waits for older segments, until a stage tells that one is through", () => {
    const waiting = madeRecord({
      commits: [madeCommit({ atMs: 100, segment: 1 }), madeCommit({ atMs: 190, segment: 3, position: 1 })],
      segments: [madeSegment({ atMs: 152, sequence: 3 })],
      work: [
        madeWork({ stage: 1, segment: 2, beginMs: 105, endMs: 149 }),
        madeWork({ stage: 0, segment: 3, beginMs: 153, endMs: 163 }),
        madeWork({ stage: 1, segment: 3, beginMs: 164, endMs: 189 }),
      ],
      reportsMs: [90, 120, 150, 165],
    });
    const { ms } = profileSession(waiting, SETTING);
    expect(ms).toEqual({ model: 33, link: 0, queueing: 50, drafting: 0, framework: 7 });
  });

  test("queue where another segment is before them", () => {
    const blocked = madeRecord({
      commits: [madeCommit({ atMs: 100, segment: 1 }), madeCommit({ atMs: 160, segment: 3, position: 1 })],
      segments: [madeSegment({ atMs: 100, sequence: 3 })],
      work: [
        madeWork({ stage: 0, segment: 3, beginMs: 101, endMs: 111 }),
        madeWork({ stage: 1, segment: 2, beginMs: 105, endMs: 145 }),
        madeWork({ stage: 1, segment: 3, beginMs: 146, endMs: 156 }),
      ],
    });
    const { ms } = profileSession(blocked, SETTING);
    // Stage 1 is busy with segment 2 from 111 to 145.
    expect(ms).toEqual({ model: 18, link: 0, queueing: 34, drafting: 0, framework: 8 });
  });

  test("queue on a link behind what the same device had sent before", () => {
    const crowded = madeRecord({
      commits: [madeCommit({ atMs: 100, segment: 1 }), madeCommit({ atMs: 150, segment: 3, position: 1 })],
      segments: [
        madeSegment({ atMs: 99, sequence: 2, bytes: 10_000 }),
        madeSegment({ atMs: 101, sequence: 3, bytes: 5000 }),
      ],
      work: [
        madeWork({ stage: 0, segment: 3, beginMs: 115, endMs: 125, bytes: 0 }),
        madeWork({ stage: 1, segment: 3, beginMs: 125, endMs: 150, bytes: 0 }),
      ],
    });
    // At 8 Mbit/s segment 2 takes the link from 99 to 109 and segment 3 from there to 114.
    const { ms } = profileSession(crowded, { ...SETTING, link: { delayMs: 0, mbps: 8 } });
    expect(ms).toEqual({ model: 33, link: 5, queueing: 8, drafting: 0, framework: 4 });
  });
});

const span = fc.tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 60 }));

/** Events in any order and at any time, also such that can't be. */
const anyRecord: fc.Arbitrary<SessionRecord> = fc
  .record({
    commits: fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), fc.nat(5)), { minLength: 2, maxLength: 6 }),
    work: fc.array(fc.tuple(span, fc.nat(2), fc.nat(5)), { maxLength: 15 }),
    segments: fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 6 }),
    draftings: fc.array(span, { maxLength: 4 }),
  })
  .map(({ commits, work, segments, draftings }) =>
    madeRecord({
      commits: commits
        .toSorted(([a], [b]) => a - b)
        .map(([atMs, segment], position) => madeCommit({ atMs, segment, position })),
      work: work.map(([[beginMs, ms], stage, segment]) =>
        madeWork({ stage, segment, beginMs, endMs: beginMs + ms, bytes: 100 * ms }),
      ),
      segments: segments.map((atMs, sequence) => madeSegment({ atMs, sequence, bytes: 500 })),
      draftings: draftings.map(([beginMs, ms]) => ({ beginMs, endMs: beginMs + ms })),
    }),
  );

test("the kinds of time are all of it, whatever was heard, and none is negative", () => {
  const link = fc.record({ delayMs: fc.nat(20), mbps: fc.integer({ min: 1, max: 100 }) });
  fc.assert(
    fc.property(anyRecord, link, (record, shape) => {
      const { ms } = profileSession(record, { stageCount: 3, link: shape, modelMs: () => 10 });
      const sum = TIME_KINDS.reduce((all, kind) => all + ms[kind], 0);
      const times = record.commits.map(({ atMs }) => atMs);
      expect(sum).toBeCloseTo(times.at(-1)! - times[0]!, 6);
      expect(TIME_KINDS.filter((kind) => ms[kind] < -1e-9)).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

test("profiles of several answers add up", () => {
  const one = { tokens: 2, ms: { model: 1, link: 2, queueing: 3, drafting: 4, framework: 5 } };
  const two = { tokens: 3, ms: { model: 10, link: 20, queueing: 30, drafting: 40, framework: 50 } };
  expect(addProfiles(one, two)).toEqual({
    tokens: 5,
    ms: { model: 11, link: 22, queueing: 33, drafting: 44, framework: 55 },
  });
});
