import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DeferredCommits } from "../../actors/deferred-commits.ts";
import { nodeId, tokenId } from "../../decoding/ids.ts";
import type { Walk } from "../../decoding/segment.ts";

/** A walk whose last token is the one before position `certain`; its nodes are named by their positions. */
function walkTo(certain: number, length: number): Walk {
  const positions = Array.from({ length }, (_, i) => certain - length + i);
  return {
    nodes: positions.map((position) => nodeId(position - 1)),
    tokens: positions.map((position) => tokenId(1000 + position)),
    position: positions[0]!,
  };
}

const cached = ({ nodes, tokens }: Walk) => ({ accepted: nodes, next: tokens.at(-1)! });

describe("DeferredCommits", () => {
  test("holds a commit until a segment comes that was sent in knowledge of it", () => {
    const commits = new DeferredCommits();
    const [first, second] = [walkTo(5, 1), walkTo(8, 3)];
    commits.hold(first);
    commits.hold(second);
    expect(commits.knownAt(4)).toEqual([]);
    expect(commits.knownAt(7)).toEqual([cached(first)]);
    expect(commits.knownAt(7)).toEqual([]);
    expect(commits.knownAt(8)).toEqual([cached(second)]);
    expect(commits.knownAt(99)).toEqual([]);
  });

  test("has no use for repeats, nor for a commit that comes after a later one", () => {
    const commits = new DeferredCommits();
    commits.hold(walkTo(8, 3));
    commits.hold(walkTo(8, 3));
    commits.hold(walkTo(5, 1));
    expect(commits.knownAt(8)).toEqual([cached(walkTo(8, 3))]);
    commits.hold(walkTo(8, 3));
    expect(commits.knownAt(8)).toEqual([]);
  });

  test("gives each commit once and in order, however segments and commits come", () => {
    const events = fc.array(fc.record({ commit: fc.boolean(), number: fc.integer({ min: 1, max: 4 }) }));
    fc.assert(
      fc.property(events, (list) => {
        const commits = new DeferredCommits();
        const held: Walk[] = [];
        const given: unknown[] = [];
        let [heard, known] = [5, 5];
        for (const { commit, number } of list) {
          if (commit) {
            heard += number;
            held.push(walkTo(heard, number));
            commits.hold(held.at(-1)!);
          } else {
            known += number;
            given.push(...commits.knownAt(known));
            const due = held.filter(({ position, tokens }) => position + tokens.length <= known);
            expect(given.length).toBeLessThanOrEqual(due.length);
          }
        }
        given.push(...commits.knownAt(heard));
        expect(given).toEqual(held.map(cached));
      }),
    );
  });
});
