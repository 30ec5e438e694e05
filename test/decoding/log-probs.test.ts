import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { positionLogprobs } from "../../decoding/log-probs.ts";
import { naiveLogprobs } from "./naive-logprobs.ts";

/** Few different values, so that ties are common. */
const logits = fc
  .array(fc.integer({ min: -12, max: 12 }), { minLength: 1, maxLength: 40 })
  .map((values) => Float32Array.from(values, (value) => value / 2));

describe("positionLogprobs", () => {
  test("is the log-softmax of the token and of the likeliest ones, the lower id first on ties", () => {
    fc.assert(
      fc.property(logits, fc.nat(), fc.integer({ min: 0, max: 20 }), (values, pick, topCount) => {
        const token = pick % values.length;
        const told = positionLogprobs(values, token, topCount);
        const expected = naiveLogprobs(values, token, topCount);
        expect(told.token).toBe(token);
        expect(told.logprob).toBeCloseTo(expected.logprob, 9);
        expect(told.top.map((one) => one.token)).toEqual(expected.top.map((one) => one.token));
        told.top.forEach(({ logprob }, rank) => {
          expect(logprob).toBeCloseTo(expected.top[rank]!.logprob, 9);
        });
      }),
    );
  });

  test("keeps logits far apart from overflowing, and leaves them as they were", () => {
    const values = Float32Array.of(3e38, -3e38, 0);
    const told = positionLogprobs(values, 0, 1);
    expect(told).toEqual({ token: 0, logprob: 0, top: [{ token: 0, logprob: 0 }] });
    expect([...values]).toEqual([...Float32Array.of(3e38, -3e38, 0)]);
  });
});
