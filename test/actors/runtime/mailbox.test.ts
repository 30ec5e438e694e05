import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { Lane } from "../../../actors/runtime/actor.ts";
import { Mailbox } from "../../../actors/runtime/mailbox.ts";

type Step = { readonly kind: "offer" | "keep"; readonly lane: Lane } | { readonly kind: "take" };

const lane = fc.constantFrom<Lane>("urgent", "normal");
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom("offer" as const, "keep" as const), lane }),
  fc.constant({ kind: "take" as const }),
);

describe("mailbox", () => {
  test("does what two plain lists do", async () => {
    await fc.assert(
      fc.property(fc.nat({ max: 4 }), fc.array(step, { maxLength: 60 }), (capacity, steps) => {
        const mailbox = new Mailbox<number>(capacity);
        const lists: Record<Lane, number[]> = { urgent: [], normal: [] };
        let dropped = 0;
        let greatestDepth = 0;
        for (const [item, step] of steps.entries()) {
          if (step.kind === "take") {
            expect(mailbox.take()).toBe(lists.urgent.shift() ?? lists.normal.shift());
            continue;
          }
          const fits = step.kind === "keep" || lists[step.lane].length < capacity;
          if (fits) lists[step.lane].push(item);
          else dropped++;
          if (step.kind === "offer") expect(mailbox.offer(item, step.lane)).toBe(fits);
          else mailbox.keep(item, step.lane);
          greatestDepth = Math.max(greatestDepth, lists.urgent.length + lists.normal.length);
          expect(mailbox.depth).toBe(lists.urgent.length + lists.normal.length);
        }
        expect([mailbox.dropped, mailbox.greatestDepth]).toEqual([dropped, greatestDepth]);
      }),
      { numRuns: 500 },
    );
  });

  test("keeps its order however long it is used", () => {
    const mailbox = new Mailbox<number>(8);
    const taken: (number | undefined)[] = [];
    for (let n = 0; n < 5000; n++) {
      expect(mailbox.offer(n, "normal")).toBe(true);
      if (n >= 5) taken.push(mailbox.take());
    }
    expect(taken).toEqual(Array.from({ length: 4995 }, (_, n) => n));
    expect(mailbox.depth).toBe(5);
  });
});
