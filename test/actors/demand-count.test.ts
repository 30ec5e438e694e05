import { expect, test } from "bun:test";
import { DemandCount, type SessionCounts } from "../../actors/demand-count.ts";

const counts = (tokens: number): SessionCounts => ({
  ...{ tokens, commits: 2 * tokens, misses: 3 * tokens, segments: 4 * tokens, nodes: 5 * tokens },
});

test("each count of a session is told once, also of one that has ended meanwhile", () => {
  const all = new DemandCount();
  expect(all.take(2000)).toBeUndefined();
  const [a, b] = [{ tokens: 0 }, { tokens: 0 }];
  const endA = all.follow(() => counts(a.tokens));
  a.tokens = 3;
  expect(all.take(2000)).toEqual({ spanMs: 2000, sessions: 1, ...counts(3) });
  const endB = all.follow(() => counts(b.tokens));
  [a.tokens, b.tokens] = [5, 7];
  endA();
  endA();
  a.tokens = 100;
  expect(all.take(1000)).toEqual({ spanMs: 1000, sessions: 1, ...counts(2 + 7) });
  expect(all.take(1000)).toEqual({ spanMs: 1000, sessions: 1, ...counts(0) });
  b.tokens = 8;
  endB();
  expect(all.take(1000)).toEqual({ spanMs: 1000, sessions: 0, ...counts(1) });
  expect(all.take(1000)).toBeUndefined();
});
