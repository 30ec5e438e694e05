import type { DequantizableType } from "../../../models/gguf/dequantize.ts";
import { blockLayout } from "../../../models/gguf/tensor-type.ts";

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export type Random = () => number;

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Writes one block of random values with a standard deviation of about `spread`. */
type BlockWriter = (view: DataView, random: Random, spread: number) => void;

const centred = (random: Random, spread: number): number => (random() - 0.5) * Math.sqrt(12) * spread;
/** 0.5 to 1.5 times `size`. */
const around = (random: Random, size: number): number => size * (0.5 + random());

function fillRandomBytes(view: DataView, random: Random): void {
  for (let i = 0; i < view.byteLength; i++) view.setUint8(i, Math.floor(random() * 256));
}

/** The divisors are the standard deviations of evenly distributed codes (times typical sub-block scales). */
const BLOCK_WRITERS: Readonly<Record<DequantizableType, BlockWriter>> = {
  F32: (view, random, spread) => view.setFloat32(0, centred(random, spread), true),
  F16: (view, random, spread) => view.setFloat16(0, centred(random, spread), true),
  BF16: (view, random, spread) => {
    const value = new DataView(new ArrayBuffer(4));
    value.setFloat32(0, centred(random, spread), true);
    view.setUint16(0, value.getUint16(2, true), true);
  },
  Q8_0: (view, random, spread) => {
    fillRandomBytes(view, random);
    view.setFloat16(0, around(random, spread / 74), true);
  },
  Q4_0: (view, random, spread) => {
    fillRandomBytes(view, random);
    view.setFloat16(0, around(random, spread / 4.6) * (random() < 0.5 ? -1 : 1), true);
  },
  Q4_1: (view, random, spread) => {
    fillRandomBytes(view, random);
    const scale = around(random, spread / 4.6);
    view.setFloat16(0, scale, true);
    view.setFloat16(2, -scale * (7 + random()), true);
  },
  Q4_K: (view, random, spread) => {
    fillRandomBytes(view, random);
    const scale = around(random, spread / 4.6 / 36);
    view.setFloat16(0, scale, true);
    view.setFloat16(2, scale * (7 + random()), true);
  },
  Q6_K: (view, random, spread) => {
    fillRandomBytes(view, random);
    view.setFloat16(208, around(random, spread / 18.5 / 74), true);
  },
};

interface RandomTensor {
  readonly type: DequantizableType;
  readonly shape: readonly number[];
  /** Standard deviation, roughly. */
  readonly spread: number;
}

/** A tensor's bytes: finite random values around 0. @throws {RangeError} when rows are not whole blocks. */
export function randomTensorBytes(tensor: RandomTensor, random: Random): Uint8Array {
  const block = blockLayout(tensor.type);
  const rowElements = tensor.shape.at(-1)!;
  if (rowElements % block.elements !== 0) {
    throw new RangeError(`a row of ${rowElements} elements is not whole ${tensor.type} blocks`);
  }
  const elements = tensor.shape.reduce((product, length) => product * length, 1);
  const bytes = new Uint8Array((elements / block.elements) * block.bytes);
  for (let at = 0; at < bytes.length; at += block.bytes) {
    BLOCK_WRITERS[tensor.type](new DataView(bytes.buffer, at, block.bytes), random, tensor.spread);
  }
  return bytes;
}
