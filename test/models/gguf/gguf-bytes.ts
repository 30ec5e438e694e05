import { type GgufType, tensorTypeId } from "../../../models/gguf/tensor-type.ts";

/** A metadata value with the file's own name for its type. */
export type TypedValue =
  | { readonly u32: number }
  | { readonly i32: number }
  | { readonly u64: bigint }
  | { readonly i64: bigint }
  | { readonly f32: number }
  | { readonly f64: number }
  | { readonly u8: number }
  | { readonly i8: number }
  | { readonly u16: number }
  | { readonly i16: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly array: { readonly of: TypedValueName; readonly values: readonly TypedValue[] } };

type KeysOf<T> = T extends unknown ? keyof T : never;
type TypedValueName = KeysOf<TypedValue>;

const VALUE_TYPE_IDS: Readonly<Record<TypedValueName, number>> = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
};

export interface TensorSource {
  readonly name: string;
  /** A number writes that type id as it is, known or not. */
  readonly type: GgufType | number;
  /** Row-major, [out, in]. */
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export interface GgufSource {
  readonly version?: number;
  readonly alignment?: number;
  readonly metadata: readonly (readonly [key: string, value: TypedValue])[];
  readonly tensors: readonly TensorSource[];
}

/** A little-endian GGUF file, written independently of the reader under test. */
export function ggufBytes(source: GgufSource): Uint8Array {
  const alignment = source.alignment ?? 32;
  const out = new ByteSink();
  out.raw(new TextEncoder().encode("GGUF"));
  out.u32(source.version ?? 3);
  out.u64(source.tensors.length);
  out.u64(source.metadata.length);
  for (const [key, value] of source.metadata) {
    out.string(key);
    out.u32(typeIdOf(value));
    writeValue(out, value);
  }
  let offset = 0;
  for (const tensor of source.tensors) {
    out.string(tensor.name);
    out.u32(tensor.shape.length);
    for (const length of tensor.shape.toReversed()) out.u64(length);
    out.u32(typeof tensor.type === "number" ? tensor.type : tensorTypeId(tensor.type));
    out.u64(offset);
    offset += Math.ceil(tensor.bytes.length / alignment) * alignment;
  }
  for (const tensor of source.tensors) {
    out.padTo(alignment);
    out.raw(tensor.bytes);
  }
  return out.bytes();
}

const typeIdOf = (value: TypedValue): number => VALUE_TYPE_IDS[Object.keys(value)[0] as TypedValueName];

function writeValue(out: ByteSink, value: TypedValue): void {
  if ("string" in value) out.string(value.string);
  else if ("array" in value) {
    out.u32(VALUE_TYPE_IDS[value.array.of]);
    out.u64(value.array.values.length);
    for (const element of value.array.values) writeValue(out, element);
  } else if ("u64" in value) out.number(8, (view) => view.setBigUint64(0, value.u64, true));
  else if ("i64" in value) out.number(8, (view) => view.setBigInt64(0, value.i64, true));
  else if ("f64" in value) out.number(8, (view) => view.setFloat64(0, value.f64, true));
  else if ("f32" in value) out.number(4, (view) => view.setFloat32(0, value.f32, true));
  else if ("i32" in value) out.number(4, (view) => view.setInt32(0, value.i32, true));
  else if ("u32" in value) out.u32(value.u32);
  else if ("u16" in value) out.number(2, (view) => view.setUint16(0, value.u16, true));
  else if ("i16" in value) out.number(2, (view) => view.setInt16(0, value.i16, true));
  else if ("u8" in value) out.number(1, (view) => view.setUint8(0, value.u8));
  else if ("i8" in value) out.number(1, (view) => view.setInt8(0, value.i8));
  else out.number(1, (view) => view.setUint8(0, value.bool ? 1 : 0));
}

class ByteSink {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  raw(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }

  number(byteLength: number, write: (view: DataView) => void): void {
    const bytes = new Uint8Array(byteLength);
    write(new DataView(bytes.buffer));
    this.raw(bytes);
  }

  u32(value: number): void {
    this.number(4, (view) => view.setUint32(0, value, true));
  }

  u64(value: number): void {
    this.number(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.raw(bytes);
  }

  padTo(alignment: number): void {
    this.raw(new Uint8Array((alignment - (this.#length % alignment)) % alignment));
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}
