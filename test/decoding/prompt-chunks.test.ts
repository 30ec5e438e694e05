import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PipelineCosts, type SegmentCosts, segmentMs } from "../../decoding/costs.ts";
import { chunkLength } from "../../decoding/prompt-chunks.ts";

const LONGEST = 64;

/** Stages that are alike, with t(n) = first + (n − 1) · each. */
const stages = (count: number, first: number, each: number): SegmentCosts[] =>
  Array.from({ length: count }, () => [
    { nodes: 1, ms: first },
    { nodes: LONGEST, ms: first + (LONGEST - 1) * each },
  ]);

/** The chunks that a prompt is cut into. */
function chunksOf(tokens: number, tables: readonly SegmentCosts[], longest = LONGEST): number[] {
  const costs = new PipelineCosts(tables);
  const chunks: number[] = [];
  for (let rest = tokens; rest > 0; rest -= chunks.at(-1) ?? rest) {
    chunks.push(chunkLength(rest, longest, costs));
  }
  return chunks;
}

/** When the last chunk leaves the last stage, each stage taking one chunk after the other. */
function throughMs(chunks: readonly number[], tables: readonly SegmentCosts[]): number {
  const freeAt = tables.map(() => 0);
  for (const nodes of chunks) {
    let at = 0;
    for (const [stage, table] of tables.entries()) {
      at = Math.max(at, freeAt[stage] ?? 0) + segmentMs(table, nodes);
      freeAt[stage] = at;
    }
  }
  return freeAt.at(-1) ?? 0;
}

const even = (tokens: number, length: number): number[] =>
  Array.from({ length: Math.ceil(tokens / length) }, (_, index) => Math.min(length, tokens - index * length));

describe("chunks of a prompt", () => {
  test("are the whole prompt, each within the limit", () => {
    const prompts = fc.record({
      tokens: fc.integer({ min: 1, max: 500 }),
      longest: fc.integer({ min: 1, max: 128 }),
      count: fc.integer({ min: 1, max: 8 }),
      first: fc.double({ min: 0.1, max: 200, noNaN: true }),
      each: fc.double({ min: 0, max: 20, noNaN: true }),
    });
    fc.assert(
      fc.property(prompts, ({ tokens, longest, count, first, each }) => {
        const chunks = chunksOf(tokens, stages(count, first, each), longest);
        expect(chunks.reduce((sum, length) => sum + length, 0)).toBe(tokens);
        expect(Math.min(...chunks)).toBeGreaterThan(0);
        expect(Math.max(...chunks)).toBeLessThanOrEqual(longest);
      }),
    );
  });

  test("go through stages of short chunks about as soon as the best even ones would", () => {
    const prompts = fc.record({
      tokens: fc.integer({ min: 1, max: 500 }),
      count: fc.integer({ min: 1, max: 8 }),
      first: fc.double({ min: 0.1, max: 10, noNaN: true }),
      each: fc.double({ min: 0, max: 0.4, noNaN: true }),
    });
    fc.assert(
      fc.property(prompts, ({ tokens, count, first, each }) => {
        const tables = stages(count, first, each);
        const lengths = Array.from({ length: LONGEST / 8 }, (_, index) => 8 * (index + 1));
        const best = Math.min(...lengths.map((length) => throughMs(even(tokens, length), tables)));
        expect(throughMs(chunksOf(tokens, tables), tables)).toBeLessThanOrEqual(1.25 * best);
      }),
    );
  });

  test("fill the stages early where each token has its price, and are long where only the first has", () => {
    expect(chunksOf(64, stages(4, 1, 1))).toEqual(new Array(8).fill(8));
    expect(chunksOf(64, stages(4, 40, 0.01))).toEqual([64]);
    expect(chunksOf(64, stages(1, 1, 0.5))).toEqual([64]);
  });

  test("hold up others no longer than a prompt can bear", () => {
    const longestMs = (tables: SegmentCosts[]) =>
      Math.max(...chunksOf(512, tables).map((length) => segmentMs(tables[0] ?? [], length)));
    // 64 tokens would take it 130 ms, and all of the prompt hardly less.
    expect(longestMs(stages(1, 2, 2))).toBeLessThanOrEqual(70);
    // Short chunks would take several times as long as a long one.
    expect(longestMs(stages(1, 100, 0.5))).toBeGreaterThan(125);
  });
});
