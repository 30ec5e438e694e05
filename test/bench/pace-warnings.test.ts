import { expect, test } from "bun:test";
import { paceWarnings } from "../../bench/pace-warnings.ts";

const stage = (segments: number, tight: number, late: number) => ({
  name: "stage-2",
  metadata: { paced_segments: String(segments), paced_tight: String(tight), paced_late: String(late) },
});

test("a paced stage whose real work was too long too often is told", () => {
  expect(paceWarnings([stage(1000, 8, 2)])).toEqual([]);
  expect(paceWarnings([stage(1000, 8, 3)])).toEqual([
    "stage-2: the real work took more than 60 % of the paced time for 11 of 1000 segments, and all of it for 3",
  ]);
});

test("stages without a pace, or without segments, and other actors are not", () => {
  expect(paceWarnings([stage(0, 0, 0), { name: "drafter", metadata: { pid: "1" } }])).toEqual([]);
});
