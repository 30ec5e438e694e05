import { expect, test } from "bun:test";
import { KvCache, kvBytesPerRow } from "../../../models/kv-cache.ts";

const SHAPE = { layers: 2, kvHeads: 3, headDim: 4 };

/** A value that tells layer, keys or values, head, row and element apart. */
const label = (matrix: number, head: number, node: number, d: number): number =>
  matrix * 10_000 + head * 1000 + node * 10 + d;

/** As the graph gives it: [2 · layers, kvHeads, nodes, headDim], labelled by node. */
function fresh(labels: readonly number[]): Float32Array {
  const { layers, kvHeads, headDim } = SHAPE;
  const values: number[] = [];
  for (let matrix = 0; matrix < 2 * layers; matrix++) {
    for (let head = 0; head < kvHeads; head++) {
      for (const node of labels) for (let d = 0; d < headDim; d++) values.push(label(matrix, head, node, d));
    }
  }
  return Float32Array.from(values);
}

function expectRow(cache: KvCache, row: number, node: number): void {
  for (let layer = 0; layer < SHAPE.layers; layer++) {
    for (const [which, array] of [cache.keys[layer]!, cache.values[layer]!].entries()) {
      for (let head = 0; head < SHAPE.kvHeads; head++) {
        for (let d = 0; d < SHAPE.headDim; d++) {
          const at = (head * cache.capacity + row) * SHAPE.headDim + d;
          expect(array[at]).toBe(label(2 * layer + which, head, node, d));
        }
      }
    }
  }
}

test("rows keep their contents when the cache grows", () => {
  const cache = new KvCache(SHAPE);
  expect(cache.allocatedBytes).toBe(0);
  cache.grow(3);
  cache.write(fresh([7, 8]), 2, Int32Array.of(2, 0));
  cache.grow(8);
  cache.write(fresh([9]), 1, Int32Array.of(7));
  expectRow(cache, 2, 7);
  expectRow(cache, 0, 8);
  expectRow(cache, 7, 9);
  expect(cache.allocatedBytes).toBe(8 * kvBytesPerRow(SHAPE));
  cache.grow(4);
  expect(cache.capacity).toBe(8);
});

test("padding rows of a run are not stored", () => {
  const cache = new KvCache(SHAPE);
  cache.grow(2);
  cache.write(fresh([5, 6]), 2, Int32Array.of(1));
  expectRow(cache, 1, 5);
  expect(cache.keys[0]!.slice(0, SHAPE.headDim)).toEqual(new Float32Array(SHAPE.headDim));
});

test("rows of another shape are refused", () => {
  const cache = new KvCache(SHAPE);
  cache.grow(2);
  expect(() => cache.write(fresh([5, 6]).subarray(4), 2, Int32Array.of(0, 1))).toThrow(RangeError);
});
