import type { GgufType } from "../gguf/tensor-type.ts";
import { isQuantised, type QuantisedType, type UnpackedBlocks, unpackBlocks } from "../gguf/unpack-blocks.ts";

/** Slice of a tensor that is unpacked at once. */
const SLICE_ELEMENTS = 1 << 22;

/**
 * How `MatMulNBits` and `GatherBlockQuantized` hold a quantised type: w = scale · (code − 2^(bits−1)), plus,
 * for types with an offset, a remainder that is constant in each block.
 */
export interface BlockForm {
  readonly type: QuantisedType;
  readonly bits: 4 | 8;
  readonly blockSize: number;
  readonly hasRemainder: boolean;
}

const FORMS: Readonly<Record<QuantisedType, BlockForm>> = {
  Q4_0: { type: "Q4_0", bits: 4, blockSize: 32, hasRemainder: false },
  Q4_1: { type: "Q4_1", bits: 4, blockSize: 32, hasRemainder: true },
  Q4_K: { type: "Q4_K", bits: 4, blockSize: 32, hasRemainder: true },
  Q8_0: { type: "Q8_0", bits: 8, blockSize: 32, hasRemainder: false },
  Q6_K: { type: "Q6_K", bits: 8, blockSize: 16, hasRemainder: false },
};

/** Undefined for types that are computed with in fp32. */
export const blockForm = (type: GgufType): BlockForm | undefined =>
  isQuantised(type) ? FORMS[type] : undefined;

/** Some rows of a matrix in the runtime's layout. */
export interface PackedRows {
  /** [rows, columns · bits / 8] element 2i in the low nibble of byte i. */
  readonly codes: Uint8Array;
  /** [rows, columns / blockSize] */
  readonly scales: Float32Array;
  /** [rows, columns / blockSize] what is to be added to each element of the block. */
  readonly remainders?: Float32Array;
}

/** Packs rows of a quantised matrix slice by slice, so that little more than the source is in memory. */
export function* packRows(form: BlockForm, bytes: Uint8Array, rows: number): Generator<PackedRows> {
  const rowBytes = bytes.byteLength / rows;
  const blocksPerRow = unpackBlocks(form.type, bytes.subarray(0, rowBytes)).scales.length;
  const step = Math.max(1, Math.floor(SLICE_ELEMENTS / (blocksPerRow * form.blockSize)));
  for (let row = 0; row < rows; row += step) {
    const end = Math.min(rows, row + step);
    yield pack(form, unpackBlocks(form.type, bytes.subarray(row * rowBytes, end * rowBytes)));
  }
}

function pack(form: BlockForm, unpacked: UnpackedBlocks): PackedRows {
  const { codes, scales, offsets } = unpacked;
  const zero = form.bits === 4 ? 8 : 128;
  const shift = offsets ? 0 : zero;
  const packed = form.bits === 4 ? packNibbles(codes, shift) : Uint8Array.from(codes, (code) => code + shift);
  if (!offsets) return { codes: packed, scales };
  const remainders = Float32Array.from(offsets, (offset, block) => offset + zero * scales[block]!);
  return { codes: packed, scales, remainders };
}

function packNibbles(codes: Uint8Array | Int8Array, shift: number): Uint8Array {
  const packed = new Uint8Array(codes.length / 2);
  for (let i = 0; i < packed.length; i++) {
    packed[i] = (codes[2 * i]! + shift) | ((codes[2 * i + 1]! + shift) << 4);
  }
  return packed;
}
