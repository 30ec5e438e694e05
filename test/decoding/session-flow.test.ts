import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Policy, WINDOW_MAX } from "../../decoding/policies/policy.ts";
import { createPolicy, POLICIES } from "../../decoding/policies/registry.ts";
import { everyPolicy } from "./policies/every-policy.ts";
import { WatchedPolicy } from "./policies/watched-policy.ts";
import { COSTS, drawFrom, plainDecoding, ScriptedPipeline } from "./scripted-pipeline.ts";

const SMALL = { total: 6, topK: 2, depth: 2, expandTotal: 6, segment: 2, appended: 2, width: 2, batch: 2 };
/** They send nothing but roots. */
const PLAIN = ["autoregressive", "survey"];

const specs = [...new Set([...everyPolicy(SMALL), ...POLICIES.keys()])];
const makePolicy = (spec: string): Policy =>
  new WatchedPolicy(createPolicy(spec, { stageCount: 4, costs: COSTS }));

const draws = fc.array(fc.nat(10_000), { minLength: 50, maxLength: 400 });

describe.each(specs)("SessionFlow with %s", (spec) => {
  test("gives the tokens of plain decoding, whatever the order of events", async () => {
    await fc.assert(
      fc.asyncProperty(draws, fc.integer({ min: 1, max: 9 }), async (numbers, promptLength) => {
        const prompt = Array.from({ length: promptLength }, (_, i) => (i * 3) % 5);
        const pipeline = new ScriptedPipeline(prompt, 40, makePolicy(spec), drawFrom(numbers));
        await pipeline.run(Number.POSITIVE_INFINITY);
        expect(pipeline.flow.journal.map(Number)).toEqual(plainDecoding(prompt, 40));
        expect(pipeline.ends).toBe(1);
        expect(pipeline.greatestInFlight).toBeLessThanOrEqual(WINDOW_MAX);
        expect(pipeline.flow.stats.replays).toBe(0);
      }),
    );
  });

  test("gives the same tokens when answers are lost and generations replayed", async () => {
    await fc.assert(
      fc.asyncProperty(draws, fc.integer({ min: 12, max: 60 }), async (numbers, lossEvery) => {
        const pipeline = new ScriptedPipeline([1, 2, 3], 25, makePolicy(spec), drawFrom(numbers));
        await pipeline.run(lossEvery);
        expect(pipeline.flow.journal.map(Number)).toEqual(plainDecoding([1, 2, 3], 25));
        expect(pipeline.ends).toBe(1);
      }),
    );
  });

  test("has some of its guesses accepted, and sends none if it does not speculate", async () => {
    const numbers = Array.from({ length: 300 }, (_, i) => (i * 7919) % 10_007);
    const pipeline = new ScriptedPipeline([1, 2, 3], 40, makePolicy(spec), drawFrom(numbers));
    await pipeline.run(Number.POSITIVE_INFINITY);
    const { draftTokens, acceptedTokens, misses } = pipeline.flow.stats;
    if (PLAIN.some((name) => spec.startsWith(name))) {
      expect(draftTokens).toBe(0);
      // Every token but the one that ends the prompt and the last.
      expect(misses).toBe(38);
    } else {
      expect(acceptedTokens).toBeGreaterThan(5);
      expect(misses).toBeLessThan(38);
    }
  });
});
