export interface TensorToWrite {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A safetensors file; `header` replaces entries of the header that belongs to the tensors. */
export function safetensorsBytes(
  tensors: Readonly<Record<string, TensorToWrite>>,
  header: Readonly<Record<string, unknown>> = {},
): Uint8Array {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, { dtype, shape, bytes }]) => {
    const begin = end;
    end += bytes.byteLength;
    return [name, { dtype, shape, data_offsets: [begin, end] }] as const;
  });
  const json = JSON.stringify({ ...Object.fromEntries(entries), ...header });
  return withHeader(
    json,
    Object.values(tensors).map(({ bytes }) => bytes),
  );
}

/** A file with that text as its header. */
export function withHeader(json: string, bodies: readonly Uint8Array[] = []): Uint8Array {
  const text = new TextEncoder().encode(json);
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(text.length), true);
  return new Uint8Array(Buffer.concat([prefix, text, ...bodies]));
}

export const f16 = (values: readonly number[], shape: readonly number[]): TensorToWrite => ({
  dtype: "F16",
  shape,
  bytes: new Uint8Array(new Float16Array(values).buffer),
});

export const f32 = (values: readonly number[], shape: readonly number[]): TensorToWrite => ({
  dtype: "F32",
  shape,
  bytes: new Uint8Array(new Float32Array(values).buffer),
});

export const i32 = (values: readonly number[], shape: readonly number[]): TensorToWrite => ({
  dtype: "I32",
  shape,
  bytes: new Uint8Array(new Int32Array(values).buffer),
});
