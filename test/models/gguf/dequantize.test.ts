import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { DEQUANTIZABLE_TYPES, dequantize } from "../../../models/gguf/dequantize.ts";
import { blockLayout } from "../../../models/gguf/tensor-type.ts";
import { isQuantised, unpackBlocks } from "../../../models/gguf/unpack-blocks.ts";

const FIXTURES = join(import.meta.dir, "../../fixtures/dequantize");
const QUANTISED = DEQUANTIZABLE_TYPES.filter(isQuantised);

const blockBytes = (name: string) => Bun.file(join(FIXTURES, `${name}.blocks.bin`)).bytes();

/** fp32 bits, with all NaNs as one: a NaN's payload is not part of its value. */
const bitsOf = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.map((value) => (Number.isNaN(value) ? Number.NaN : value)).buffer);

describe.each([...DEQUANTIZABLE_TYPES])("%s", (type) => {
  const block = blockLayout(type);

  test("gives the values of the Python package gguf bit for bit", async () => {
    const bytes = await blockBytes(type);
    const expected = new Float32Array(await Bun.file(join(FIXTURES, `${type}.values.bin`)).arrayBuffer());
    const values = dequantize(type, bytes, expected.length);
    expect(bitsOf(values)).toEqual(bitsOf(expected));
  });

  test("depends on no other block and on no alignment", async () => {
    const bytes = await blockBytes(type);
    const blocks = bytes.length / block.bytes;
    const all = dequantize(type, bytes, blocks * block.elements);
    const range = fc.tuple(fc.nat(blocks - 1), fc.integer({ min: 1, max: blocks }), fc.nat(7));
    fc.assert(
      fc.property(range, ([first, count, shift]) => {
        const end = Math.min(first + count, blocks);
        const shifted = new Uint8Array(shift + (end - first) * block.bytes);
        shifted.set(bytes.subarray(first * block.bytes, end * block.bytes), shift);
        const part = dequantize(type, shifted.subarray(shift), (end - first) * block.elements);
        expect(bitsOf(part)).toEqual(bitsOf(all.slice(first * block.elements, end * block.elements)));
      }),
      { numRuns: 50 },
    );
  });

  test("leaves its input as it was and shares no memory with it", async () => {
    const bytes = await blockBytes(type);
    const before = bytes.slice();
    const values = dequantize(type, bytes, (bytes.length / block.bytes) * block.elements);
    values.fill(42);
    expect(bytes).toEqual(before);
  });

  test("refuses a wrong byte length", () => {
    const whole = new Uint8Array(block.bytes * 2);
    expect(() => dequantize(type, whole.subarray(1), block.elements * 2)).toThrow(RangeError);
    expect(() => dequantize(type, whole, block.elements)).toThrow(type);
    expect(() => dequantize(type, whole, block.elements * 2 + 1)).toThrow(RangeError);
  });
});

test("no elements are no values", () => {
  for (const type of DEQUANTIZABLE_TYPES) expect(dequantize(type, new Uint8Array(), 0)).toHaveLength(0);
});

const CODE_RANGES = {
  Q4_0: [-8, 7],
  Q4_1: [0, 15],
  Q8_0: [-128, 127],
  Q4_K: [0, 15],
  Q6_K: [-32, 31],
} as const;

describe.each(QUANTISED)("%s unpacked", (type) => {
  test("is scale · code + offset of the Python package's values", async () => {
    const unpacked = unpackBlocks(type, await blockBytes(type));
    const expected = new Float32Array(await Bun.file(join(FIXTURES, `${type}.values.bin`)).arrayBuffer());
    const values = new Float32Array(expected.length);
    unpacked.codes.forEach((code, i) => {
      const block = Math.floor(i / unpacked.blockSize);
      const product = Math.fround(unpacked.scales[block]! * code);
      values[i] = unpacked.offsets ? product + unpacked.offsets[block]! : product;
    });
    expect(bitsOf(values)).toEqual(bitsOf(expected));
  });

  test("uses its whole range of codes and one scale a block", async () => {
    const bytes = await blockBytes(type);
    const { codes, scales, offsets, blockSize } = unpackBlocks(type, bytes);
    const codeList = [...codes];
    expect([Math.min(...codeList), Math.max(...codeList)]).toEqual([...CODE_RANGES[type]]);
    expect(codes.length).toBe((bytes.length / blockLayout(type).bytes) * blockLayout(type).elements);
    expect(scales.length).toBe(codes.length / blockSize);
    expect(offsets?.length ?? scales.length).toBe(scales.length);
  });

  test("refuses part of a block", () => {
    expect(() => unpackBlocks(type, new Uint8Array(blockLayout(type).bytes + 1))).toThrow(/whole/);
  });
});
