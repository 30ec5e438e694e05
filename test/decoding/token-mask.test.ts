import { expect, test } from "bun:test";
import { Sampler } from "../../decoding/sampling.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { allows, maskLogits } from "../../decoding/token-mask.ts";
import { seededRandom } from "../simulation/world.ts";

test("a mask keeps the logits of its tokens, and nothing else is ever drawn", () => {
  const random = seededRandom(9);
  const sampler = new Sampler();
  for (let round = 0; round < 60; round++) {
    const size = 1 + Math.floor(random() * 100);
    const logits = Float32Array.from({ length: size }, () => 8 * random() - 4);
    const allowed = new Set(Array.from({ length: 1 + (round % 5) }, () => Math.floor(random() * size)));
    const mask = new Int32Array(Math.ceil(size / 32));
    for (const token of allowed) mask[token >> 5]! |= 1 << (token % 32);
    const before = logits.slice();
    const masked = maskLogits(logits, mask);
    expect(logits).toEqual(before);
    for (const [token, logit] of masked.entries()) {
      expect(logit).toBe(allowed.has(token) ? logits[token]! : Number.NEGATIVE_INFINITY);
      expect(allows(mask, token)).toBe(allowed.has(token));
    }
    for (const params of [
      { temperature: 0 },
      { temperature: 1.5, topK: 7, topP: 0.8 },
      { temperature: 1, minP: 0.2, logitBias: [{ token: 0, bias: 100 }], presencePenalty: -2 },
    ]) {
      expect(allowed).toContain(sampler.sample(masked, { ...GREEDY, ...params, seed: round }, round));
    }
  }
});
