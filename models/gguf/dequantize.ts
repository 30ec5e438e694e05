import { blockLayout, type GgufType } from "./tensor-type.ts";
import { isQuantised, type QuantisedType, reconstruct, unpackBlocks } from "./unpack-blocks.ts";

const FLOAT_READERS = { F32: readF32, F16: readF16, BF16: readBf16 } as const;

type FloatType = keyof typeof FLOAT_READERS & GgufType;
export type DequantizableType = FloatType | QuantisedType;

/** The types that can be computed with, for messages. */
export const DEQUANTIZABLE_TYPES: readonly DequantizableType[] = [
  "F32",
  "F16",
  "BF16",
  "Q8_0",
  "Q4_0",
  "Q4_1",
  "Q4_K",
  "Q6_K",
];

export const isDequantizable = (type: GgufType): type is DequantizableType =>
  isFloat(type) || isQuantised(type);

/**
 * The values of a tensor as fp32, bit for bit as ggml's reference code gives them.
 * @throws {RangeError} when `bytes` is not exactly `elementCount` elements of that type.
 */
export function dequantize(type: DequantizableType, bytes: Uint8Array, elementCount: number): Float32Array {
  const block = blockLayout(type);
  const expectedBytes = (elementCount / block.elements) * block.bytes;
  if (bytes.length !== expectedBytes || elementCount % block.elements !== 0) {
    throw new RangeError(`${bytes.length} bytes cannot be ${elementCount} elements of ${type}`);
  }
  return isFloat(type) ? FLOAT_READERS[type](bytes) : reconstruct(unpackBlocks(type, bytes));
}

function isFloat(type: GgufType): type is FloatType {
  return Object.hasOwn(FLOAT_READERS, type);
}

/** A copy at an aligned address, whatever view `bytes` is. The machine is taken to be little-endian. */
const aligned = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;

function readF32(bytes: Uint8Array): Float32Array {
  return new Float32Array(aligned(bytes));
}

function readF16(bytes: Uint8Array): Float32Array {
  return new Float32Array(new Float16Array(aligned(bytes)));
}

/** bf16 is the upper half of fp32. */
function readBf16(bytes: Uint8Array): Float32Array {
  const halves = new Uint16Array(aligned(bytes));
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}
