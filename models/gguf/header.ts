import type { ByteCursor } from "./byte-cursor.ts";
import { blockLayout, type GgufType, tensorTypeFromId } from "./tensor-type.ts";

type GgufScalar = number | bigint | boolean | string;
/** 64-bit integers are numbers where exact, else bigints. */
export type GgufValue = GgufScalar | readonly GgufValue[];

export interface GgufTensor {
  readonly name: string;
  readonly type: GgufType;
  /** Row-major, so [out, in] for a matrix: the file's own order reversed. */
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Absolute position of the first byte in the file. */
  readonly offset: number;
}

const MAX_METADATA_ENTRIES = 65_536;
const MAX_TENSORS = 1_000_000;
const MAX_DIMENSIONS = 4;
const MAX_ARRAY_DEPTH = 3;
const MAX_ARRAY_LENGTH = 16 * 1024 * 1024;
const MAX_ALIGNMENT_BYTES = 1024 * 1024;
const DEFAULT_ALIGNMENT_BYTES = 32;
/** A key's length, its type and a value of one byte; a name's length, dimensions, type and offset. */
const MIN_METADATA_BYTES = 8 + 4 + 1;
const MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8;

const ARRAY_TYPE = 9;
const STRING_TYPE = 8;

interface ValueType {
  readonly minBytes: number;
  readonly read: (cursor: ByteCursor) => GgufScalar;
}

/** By the number that stands before a metadata value. */
const SCALARS: ReadonlyMap<number, ValueType> = new Map([
  [0, { minBytes: 1, read: (cursor) => cursor.u8() }],
  [1, { minBytes: 1, read: (cursor) => cursor.i8() }],
  [2, { minBytes: 2, read: (cursor) => cursor.u16() }],
  [3, { minBytes: 2, read: (cursor) => cursor.i16() }],
  [4, { minBytes: 4, read: (cursor) => cursor.u32() }],
  [5, { minBytes: 4, read: (cursor) => cursor.i32() }],
  [6, { minBytes: 4, read: (cursor) => cursor.f32() }],
  [7, { minBytes: 1, read: (cursor) => cursor.u8() !== 0 }],
  [STRING_TYPE, { minBytes: 8, read: (cursor) => cursor.string("a text") }],
  [10, { minBytes: 8, read: (cursor) => cursor.u64() }],
  [11, { minBytes: 8, read: (cursor) => cursor.i64() }],
  [12, { minBytes: 8, read: (cursor) => cursor.f64() }],
]);

/** Reads what follows magic and version: the counts, the metadata and the tensor directory. */
export function readHeader(cursor: ByteCursor) {
  const tensorCount = cursor.count("the number of tensors", MAX_TENSORS);
  const metadataCount = cursor.count("the number of metadata entries", MAX_METADATA_ENTRIES);
  cursor.require(tensorCount * MIN_TENSOR_BYTES + metadataCount * MIN_METADATA_BYTES);
  const metadata = readMetadata(cursor, metadataCount);
  const entries = readTensorEntries(cursor, tensorCount);
  const alignment = alignmentOf(cursor, metadata);
  const base = Math.ceil(cursor.position / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const entry of entries) {
    if (tensors.has(entry.name)) throw cursor.damaged(`the tensor ${entry.name} is declared twice`);
    if (entry.offset % alignment !== 0) {
      throw cursor.damaged(`the tensor ${entry.name} does not start at a multiple of ${alignment} bytes`);
    }
    tensors.set(entry.name, { ...entry, offset: base + entry.offset });
  }
  return { metadata: metadata as ReadonlyMap<string, GgufValue>, tensors };
}

function readMetadata(cursor: ByteCursor, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.string("a metadata key");
    if (metadata.has(key)) throw cursor.damaged(`the metadata key ${key} is declared twice`);
    metadata.set(key, readValue(cursor, cursor.u32(), key, 0));
  }
  return metadata;
}

function readValue(cursor: ByteCursor, type: number, key: string, depth: number): GgufValue {
  if (type !== ARRAY_TYPE) return scalarType(cursor, type, key).read(cursor);
  if (depth === MAX_ARRAY_DEPTH) throw cursor.damaged(`the arrays of ${key} are nested too deeply`);
  const elementType = cursor.u32();
  const isNested = elementType === ARRAY_TYPE;
  const element = isNested ? undefined : scalarType(cursor, elementType, key);
  // An inner array takes at least its element type and its length.
  const minBytes = element?.minBytes ?? 12;
  const length = cursor.count(`the elements of ${key}`, MAX_ARRAY_LENGTH);
  cursor.require(length * minBytes);
  const values: GgufValue[] = [];
  for (let i = 0; i < length; i++) {
    values.push(element ? element.read(cursor) : readValue(cursor, ARRAY_TYPE, key, depth + 1));
  }
  return values;
}

function scalarType(cursor: ByteCursor, type: number, key: string): ValueType {
  const scalar = SCALARS.get(type);
  if (!scalar) throw cursor.damaged(`the metadata key ${key} has the unknown value type ${type}`);
  return scalar;
}

/** Tensors with offsets still relative to the start of the tensor bytes. */
function readTensorEntries(cursor: ByteCursor, count: number): GgufTensor[] {
  const entries: GgufTensor[] = [];
  for (let i = 0; i < count; i++) entries.push(readTensorEntry(cursor));
  return entries;
}

function readTensorEntry(cursor: ByteCursor): GgufTensor {
  const name = cursor.string("a tensor name");
  const dimensions = cursor.u32();
  if (dimensions === 0 || dimensions > MAX_DIMENSIONS) {
    throw cursor.damaged(`the tensor ${name} has ${dimensions} dimensions instead of 1 to ${MAX_DIMENSIONS}`);
  }
  const fileOrder: number[] = [];
  let elements = 1;
  for (let d = 0; d < dimensions; d++) {
    fileOrder.push(cursor.count(`dimension ${d} of ${name}`, Number.MAX_SAFE_INTEGER));
    elements *= fileOrder[d]!;
  }
  const typeId = cursor.u32();
  const type = tensorTypeFromId(typeId);
  if (!type) throw cursor.damaged(`the tensor ${name} has the unknown type number ${typeId}`);
  const block = blockLayout(type);
  const byteLength = (elements / block.elements) * block.bytes;
  if (elements === 0 || fileOrder[0]! % block.elements !== 0 || !Number.isSafeInteger(byteLength)) {
    throw cursor.damaged(`the tensor ${name} cannot be ${type} with the shape [${fileOrder.reverse()}]`);
  }
  const offset = cursor.count(`the offset of ${name}`, Number.MAX_SAFE_INTEGER);
  return { name, type, shape: fileOrder.reverse(), byteLength, offset };
}

function alignmentOf(cursor: ByteCursor, metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT_BYTES;
  const isPowerOfTwo =
    typeof alignment === "number" && Number.isInteger(Math.log2(alignment)) && alignment >= 1;
  if (!isPowerOfTwo || alignment > MAX_ALIGNMENT_BYTES) {
    throw cursor.damaged(`general.alignment is ${alignment} instead of a power of two`);
  }
  return alignment;
}
