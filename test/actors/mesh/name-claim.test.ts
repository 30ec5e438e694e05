import { expect, test } from "bun:test";
import { NameClaim } from "../../../actors/mesh/name-claim.ts";
import { DEAD_MS } from "../../../actors/mesh/records.ts";
import type { KeyValue } from "../../../transport/key-value.ts";
import { MemoryKeyValue } from "../../../transport/memory-key-value.ts";
import { SimulatedClock } from "../../simulated-clock.ts";

const KEY = "drafter.phrases";
const SECOND = 1000;
const log = { write: () => {} };

/** What became of a wish for the name so far. */
function want(link: { store: KeyValue; clock: SimulatedClock }, instance: string) {
  const wish: { outcome: "waits" | "has it" | "refused" | "lost it"; claim?: NameClaim } = {
    outcome: "waits",
  };
  void NameClaim.take({ ...link, log }, KEY, instance).then((claim) => {
    wish.outcome = claim === undefined ? "refused" : "has it";
    if (claim === undefined) return;
    wish.claim = claim;
    claim.lost.then(() => {
      wish.outcome = "lost it";
    });
  });
  return wish;
}

test("of those who want a name at the same time one has it, and the others are refused", async () => {
  const link = { store: new MemoryKeyValue(), clock: new SimulatedClock() };
  const wishes = ["a", "b", "c"].map((instance) => want(link, instance));
  await link.clock.advance(3 * SECOND);
  expect(wishes.map(({ outcome }) => outcome).toSorted()).toEqual(["has it", "refused", "refused"]);
  await link.clock.advance(60 * SECOND);
  const late = want(link, "d");
  await link.clock.advance(3 * SECOND);
  expect(late.outcome).toBe("refused");
});

test("a name that is given back is free at once", async () => {
  const link = { store: new MemoryKeyValue(), clock: new SimulatedClock() };
  const first = want(link, "a");
  await link.clock.advance(SECOND);
  await first.claim?.release();
  const second = want(link, "b");
  await link.clock.advance(0);
  expect(second.outcome).toBe("has it");
});

test("the name of a process that was killed or paused is taken over after a lease, by one, and it is told", async () => {
  const store = new MemoryKeyValue();
  const [paused, clock] = [new SimulatedClock(), new SimulatedClock()];
  const former = want({ store, clock: paused }, "a");
  await paused.advance(SECOND);
  const next = ["b", "c"].map((instance) => want({ store, clock }, instance));
  await clock.advance(DEAD_MS - SECOND);
  expect(next.map(({ outcome }) => outcome)).toEqual(["waits", "waits"]);
  await clock.advance(5 * SECOND);
  expect(next.map(({ outcome }) => outcome).toSorted()).toEqual(["has it", "refused"]);
  await paused.advance(2 * SECOND);
  expect(former.outcome).toBe("lost it");
});

test("calls that worked and whose answers were lost take the name from nobody", async () => {
  const inner = new MemoryKeyValue();
  let calls = 0;
  const answer = (revision: number): number => {
    if (++calls % 2 === 1) throw new Error("the answer was lost");
    return revision;
  };
  const store: KeyValue = {
    get: (key) => inner.get(key),
    create: (key, value) => inner.create(key, value),
    update: async (key, value, revision) => answer(await inner.update(key, value, revision)),
    remove: (key, revision) => inner.remove(key, revision),
  };
  const link = { store, clock: new SimulatedClock() };
  const holder = want(link, "a");
  await link.clock.advance(60 * SECOND);
  expect(calls).toBeGreaterThan(10);
  expect(holder.outcome).toBe("has it");
  const other = want({ ...link, store: inner }, "b");
  await link.clock.advance(10 * SECOND);
  expect(other.outcome).toBe("refused");
});
