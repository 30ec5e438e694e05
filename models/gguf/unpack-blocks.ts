import { blockLayout, type GgufType } from "./tensor-type.ts";

/**
 * A quantised tensor taken apart: element i of block b is the fp32 value scales[b] · codes[i] + offsets[b],
 * with the product rounded before the sum (so one fused multiply-add may differ for Q6_K; for the other
 * types the product is exact). Without `offsets` it is scales[b] · codes[i].
 */
export interface UnpackedBlocks {
  /** Elements that share a scale. */
  readonly blockSize: number;
  /**
   * [elements] in row-major order. Unsigned 0..15 where there are offsets (Q4_1, Q4_K); signed and centred
   * on 0 otherwise: −8..7 (Q4_0), −32..31 (Q6_K), −128..127 (Q8_0).
   */
  readonly codes: Uint8Array | Int8Array;
  /** [elements / blockSize] */
  readonly scales: Float32Array;
  /** [elements / blockSize] */
  readonly offsets?: Float32Array;
}

const READERS = {
  Q4_0: unpackQ4_0,
  Q4_1: unpackQ4_1,
  Q8_0: unpackQ8_0,
  Q4_K: unpackQ4_K,
  Q6_K: unpackQ6_K,
} as const;

export type QuantisedType = keyof typeof READERS & GgufType;

export const isQuantised = (type: GgufType): type is QuantisedType => Object.hasOwn(READERS, type);

/** @throws {RangeError} when the bytes are not whole blocks of that type. */
export function unpackBlocks(type: QuantisedType, bytes: Uint8Array): UnpackedBlocks {
  const block = blockLayout(type);
  if (bytes.length % block.bytes !== 0) {
    throw new RangeError(`${bytes.length} bytes are not whole ${type} blocks of ${block.bytes} bytes`);
  }
  return READERS[type](bytes, bytes.length / block.bytes);
}

/** The values that the blocks stand for, bit for bit as ggml's reference code gives them. */
export function reconstruct(unpacked: UnpackedBlocks): Float32Array {
  const { blockSize, codes, scales, offsets } = unpacked;
  const values = new Float32Array(codes.length);
  for (let block = 0, i = 0; block < scales.length; block++) {
    const scale = scales[block]!;
    const end = i + blockSize;
    if (offsets) {
      const offset = offsets[block]!;
      for (; i < end; i++) values[i] = Math.fround(scale * codes[i]!) + offset;
    } else {
      for (; i < end; i++) values[i] = scale * codes[i]!;
    }
  }
  return values;
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** f16 scale, then 16 bytes with element i in the low and i + 16 in the high nibble; codes are biased by 8. */
function unpackQ4_0(bytes: Uint8Array, blocks: number): UnpackedBlocks {
  const view = viewOf(bytes);
  const codes = new Int8Array(blocks * 32);
  const scales = new Float32Array(blocks);
  for (let block = 0, at = 0; block < blocks; block++, at += 18) {
    scales[block] = view.getFloat16(at, true);
    const first = block * 32;
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i]!;
      codes[first + i] = (pair & 15) - 8;
      codes[first + 16 + i] = (pair >> 4) - 8;
    }
  }
  return { blockSize: 32, codes, scales };
}

/** f16 scale, f16 offset, then nibbles as in Q4_0, unbiased. */
function unpackQ4_1(bytes: Uint8Array, blocks: number): UnpackedBlocks {
  const view = viewOf(bytes);
  const codes = new Uint8Array(blocks * 32);
  const scales = new Float32Array(blocks);
  const offsets = new Float32Array(blocks);
  for (let block = 0, at = 0; block < blocks; block++, at += 20) {
    scales[block] = view.getFloat16(at, true);
    offsets[block] = view.getFloat16(at + 2, true);
    const first = block * 32;
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 4 + i]!;
      codes[first + i] = pair & 15;
      codes[first + 16 + i] = pair >> 4;
    }
  }
  return { blockSize: 32, codes, scales, offsets };
}

/** f16 scale, then 32 int8 codes. */
function unpackQ8_0(bytes: Uint8Array, blocks: number): UnpackedBlocks {
  const view = viewOf(bytes);
  const codes = new Int8Array(blocks * 32);
  const scales = new Float32Array(blocks);
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let block = 0, at = 0; block < blocks; block++, at += 34) {
    scales[block] = view.getFloat16(at, true);
    codes.set(signed.subarray(at + 2, at + 34), block * 32);
  }
  return { blockSize: 32, codes, scales };
}

/**
 * Super-blocks of 8 × 32: f16 scale of the scales, f16 scale of the minima, 12 bytes with 8 pairs of 6-bit
 * (scale, minimum), then 4 × 32 bytes: each holds one sub-block in its low and the next in its high nibbles.
 */
function unpackQ4_K(bytes: Uint8Array, superBlocks: number): UnpackedBlocks {
  const view = viewOf(bytes);
  const codes = new Uint8Array(superBlocks * 256);
  const scales = new Float32Array(superBlocks * 8);
  const offsets = new Float32Array(superBlocks * 8);
  for (let superBlock = 0, at = 0; superBlock < superBlocks; superBlock++, at += 144) {
    const scaleOfScales = view.getFloat16(at, true);
    const scaleOfMinima = view.getFloat16(at + 2, true);
    const packed = bytes.subarray(at + 4, at + 16);
    for (let sub = 0; sub < 8; sub++) {
      scales[superBlock * 8 + sub] = scaleOfScales * subBlockScale(packed, sub);
      offsets[superBlock * 8 + sub] = -(scaleOfMinima * subBlockMinimum(packed, sub));
    }
    const first = superBlock * 256;
    for (let i = 0; i < 128; i++) {
      const pair = bytes[at + 16 + i]!;
      const low = first + (i >> 5) * 64 + (i & 31);
      codes[low] = pair & 15;
      codes[low + 32] = pair >> 4;
    }
  }
  return { blockSize: 32, codes, scales, offsets };
}

/**
 * 6-bit scale of a sub-block. Those of sub-blocks 0–3 are the low 6 bits of bytes 0–3; of 4–7 the four low
 * bits are the low nibbles of bytes 8–11, and the two high bits are on top of bytes 0–3.
 */
function subBlockScale(packed: Uint8Array, sub: number): number {
  const own = packed[sub & 3]!;
  return sub < 4 ? own & 63 : (packed[sub + 4]! & 15) | ((own >> 6) << 4);
}

/** 6-bit minimum of a sub-block: as the scale, in bytes 4–7 and the high nibbles of bytes 8–11. */
function subBlockMinimum(packed: Uint8Array, sub: number): number {
  const own = packed[4 + (sub & 3)]!;
  return sub < 4 ? own & 63 : (packed[sub + 4]! >> 4) | ((own >> 6) << 4);
}

/**
 * Super-blocks of 16 × 16: 128 bytes with the low 4 bits, 64 bytes with the high 2 bits, 16 int8 scales, and
 * an f16 scale of the scales. Each half of 128 elements uses 64 low bytes (elements 0–63 in the low, 64–127
 * in the high nibbles) and 32 high bytes (two bits for each quarter, lowest first).
 */
function unpackQ6_K(bytes: Uint8Array, superBlocks: number): UnpackedBlocks {
  const view = viewOf(bytes);
  const codes = new Int8Array(superBlocks * 256);
  const scales = new Float32Array(superBlocks * 16);
  for (let superBlock = 0, at = 0; superBlock < superBlocks; superBlock++, at += 210) {
    const scaleOfScales = view.getFloat16(at + 208, true);
    for (let sub = 0; sub < 16; sub++) {
      scales[superBlock * 16 + sub] = scaleOfScales * view.getInt8(at + 192 + sub);
    }
    for (let i = 0; i < 256; i++) {
      const half = i >> 7;
      const quarter = (i >> 5) & 3;
      const low = bytes[at + half * 64 + (i & 63)]! >> ((i & 64) >> 4);
      const high = bytes[at + 128 + half * 32 + (i & 31)]! >> (quarter * 2);
      codes[superBlock * 256 + i] = ((low & 15) | ((high & 3) << 4)) - 32;
    }
  }
  return { blockSize: 16, codes, scales };
}
