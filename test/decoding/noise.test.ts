import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { GUMBEL_MAX, gumbelOf, Noise, threefry2x32, uniformBits, uniformOf } from "../../decoding/noise.ts";
import { chiSquaredLimit } from "./chi-squared.ts";

const seeds = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const words = fc.integer({ min: 0, max: 0xffff_ffff });

describe("Threefry-2x32-20", () => {
  // Known answers of the Random123 distribution: counter, key, output.
  const vectors: [number[], number[], number[]][] = [
    [
      [0, 0],
      [0, 0],
      [0x6b200159, 0x99ba4efe],
    ],
    [
      [0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x1cb996fc, 0xbb002be7],
    ],
    [
      [0x243f6a88, 0x85a308d3],
      [0x13198a2e, 0x03707344],
      [0xc4923a9c, 0x483df7a0],
    ],
  ];
  for (const [counter, key, expected] of vectors) {
    test(`counter ${counter} under key ${key}`, () => {
      const out = new Uint32Array(2);
      threefry2x32(key[0]!, key[1]!, counter[0]!, counter[1]!, out);
      expect([...out]).toEqual(expected);
    });
  }

  test("the seed is the key and (position, token) the counter", () => {
    const out = new Uint32Array(2);
    const seed = 0x0012_3456 * 2 ** 32 + 0x89ab_cdef;
    threefry2x32(0x89ab_cdef, 0x0012_3456, 77, 1234 >> 1, out);
    expect([uniformBits(seed, 77, 1234), uniformBits(seed, 77, 1235)]).toEqual([...out]);
  });
});

describe("Noise", () => {
  test("is the same in any order of reads", () => {
    const reads = fc.array(fc.tuple(words, words), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(seeds, reads, (seed, pairs) => {
        const noise = new Noise(seed);
        for (const [position, token] of [...pairs, ...pairs.toReversed()]) {
          expect(noise.bits(position, token)).toBe(uniformBits(seed, position, token));
        }
      }),
    );
  });

  test("refuses seeds that are no integers in range", () => {
    for (const seed of [-1, 0.5, Number.NaN, 2 ** 53]) expect(() => new Noise(seed)).toThrow(RangeError);
  });

  test("bits are uniform, and uncorrelated between seeds, positions and tokens", () => {
    const count = 65_536;
    const neighbours = {
      seed: [1, 0, 0],
      "high seed": [2 ** 32, 0, 0],
      position: [0, 1, 0],
      token: [0, 0, 1],
    };
    for (const [seedStep, positionStep, tokenStep] of Object.values(neighbours)) {
      const cells = new Float64Array(256);
      for (let i = 0; i < count; i++) {
        const position = i >> 8;
        const token = i & 255;
        const a = uniformBits(7, position, token);
        const b = uniformBits(7 + seedStep!, position + positionStep!, token + tokenStep!);
        cells[(a >>> 28) * 16 + (b >>> 28)]!++;
      }
      const expected = count / 256;
      const statistic = cells.reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0);
      expect(statistic).toBeLessThan(chiSquaredLimit(255));
    }
  });
});

describe("Gumbel noise", () => {
  test("is finite, grows with the bits and ends at GUMBEL_MAX", () => {
    expect(Number.isFinite(gumbelOf(0))).toBeTrue();
    expect(gumbelOf(0xffff_ffff)).toBe(GUMBEL_MAX);
    fc.assert(fc.property(words, words, (a, b) => a >= b || gumbelOf(a) <= gumbelOf(b)));
  });

  test("comes from a uniform strictly between 0 and 1", () => {
    expect(uniformOf(0)).toBeGreaterThan(0);
    expect(uniformOf(0xffff_ffff)).toBeLessThan(1);
  });

  test("has the Gumbel mean and variance", () => {
    const noise = new Noise(11);
    const draws = Array.from({ length: 100_000 }, (_, i) => noise.gumbel(i, i % 97));
    const mean = draws.reduce((sum, x) => sum + x, 0) / draws.length;
    const variance = draws.reduce((sum, x) => sum + (x - mean) ** 2, 0) / draws.length;
    expect(mean).toBeCloseTo(0.577_215_66, 1);
    expect(Math.abs(mean - 0.577_215_66)).toBeLessThan(0.02);
    expect(Math.abs(variance - Math.PI ** 2 / 6)).toBeLessThan(0.05);
  });
});
