import { type DequantizableType, dequantize, isDequantizable } from "../gguf/dequantize.ts";
import type { GgufFile } from "../gguf/gguf-file.ts";

/** A matrix of the model file; a vector counts as one row. */
export interface WeightTensor {
  readonly type: DequantizableType;
  readonly rows: number;
  readonly columns: number;
}

export function weightTensor(gguf: GgufFile, name: string): WeightTensor {
  const tensor = gguf.tensors.get(name);
  if (!tensor) throw new Error(`${gguf.path} has no tensor ${name}`);
  const { type, shape } = tensor;
  if (!isDequantizable(type)) throw new Error(`tensor ${name} is stored as ${type}, which can't be read`);
  const columns = shape.at(-1)!;
  return { type, columns, rows: shape.reduce((product, size) => product * size, 1) / columns };
}

/** All of the tensor as fp32: for vectors. */
export async function readVector(gguf: GgufFile, name: string): Promise<Float32Array> {
  const { type, rows, columns } = weightTensor(gguf, name);
  return dequantize(type, await gguf.readTensor(name), rows * columns);
}
