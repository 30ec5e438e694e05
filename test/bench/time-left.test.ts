import { expect, test } from "bun:test";
import { formatDuration } from "../../bench/time-left.ts";

test.each([
  [400, "0 s"],
  [40_000, "40 s"],
  [119_000, "119 s"],
  [12 * 60_000, "12 min"],
  [125 * 60_000, "2 h 5 min"],
])("%d ms are told as %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
