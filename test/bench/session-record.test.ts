import { describe, expect, test } from "bun:test";
import { answerTimeLine } from "../../bench/answer-time-line.ts";
import { timesAfterMisses } from "../../bench/session-record.ts";
import { madeCommit, madeRecord, madeSegment, madeWork } from "./made-records.ts";

describe("times after misses", () => {
  // A prompt of ten tokens; its commit makes token 10 certain.
  const commits = [
    madeCommit({ atMs: 0, segment: 0, position: 10, nodes: [9] }),
    madeCommit({ atMs: 50, segment: 1, position: 11, nodes: [10] }),
    madeCommit({ atMs: 80, segment: 2, position: 12, nodes: [11, 12], tokens: [0, 0] }),
    madeCommit({ atMs: 140, segment: 4, position: 14, nodes: [20] }),
  ];

  test("are those from commits whose last token was sent only after them", () => {
    const segments = [
      madeSegment({ sequence: 1, nodes: [10], certain: 11 }),
      // Sent before token 11 was certain: the commit at 50 is a hit.
      madeSegment({ sequence: 2, nodes: [11, 12], certain: 11 }),
      madeSegment({ sequence: 3, nodes: [13, 14], certain: 12 }),
      // Sent when 14 tokens were certain: the commit at 80 was a miss.
      madeSegment({ sequence: 4, nodes: [20], certain: 14 }),
    ];
    expect(timesAfterMisses(madeRecord({ commits, segments }))).toEqual([60]);
  });

  test("do not cross a replay, whose nodes are others", () => {
    const replayed = commits.map((commit, index) => (index === 3 ? { ...commit, generation: 1 } : commit));
    const segments = [madeSegment({ sequence: 2, nodes: [11, 12], certain: 12 })];
    expect(timesAfterMisses(madeRecord({ commits: replayed, segments }))).toEqual([30]);
  });
});

test("a time line begins at the first commit, and splits segments by what was committed", () => {
  const record = madeRecord({
    commits: [
      madeCommit({ atMs: 1000, nodes: [9] }),
      madeCommit({ atMs: 1040, nodes: [10] }),
      madeCommit({ atMs: 1090, nodes: [11] }),
    ],
    work: [
      madeWork({ stage: 0, beginMs: 900, endMs: 950, nodes: [8, 9], committed: true }),
      madeWork({ stage: 1, beginMs: 980, endMs: 1005, nodes: [8, 9], committed: true }),
      madeWork({ stage: 0, beginMs: 1010, endMs: 1030, nodes: [10, 20, 21] }),
      madeWork({ stage: 1, beginMs: 1031, endMs: 1032, nodes: [] }),
      madeWork({ stage: 1, beginMs: 1095, endMs: 1115, nodes: [30] }),
    ],
  });
  expect(answerTimeLine("flowspec", record, 2)).toEqual({
    title: "flowspec",
    lanes: ["stage 0", "stage 1"],
    bars: [
      { lane: "stage 1", beginMs: -20, endMs: 5, live: 2, dead: 0, label: "2" },
      { lane: "stage 0", beginMs: 10, endMs: 30, live: 1, dead: 2, label: "3" },
    ],
    commitsMs: [0, 40, 90],
  });
});
