import { bytesOf } from "../graph/linear.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { QUANT_BLOCK, quantiseRows } from "./quantise-rows.ts";

/** int8 activations: a draft head need not be exact, and its time is that of reading its weights. */
const ACCURACY_LEVEL = 4;

interface Matrix {
  readonly name: string;
  /** [rows, columns] */
  readonly values: Float32Array;
  readonly rows: number;
}

/** x times the transposed matrix, with weights of 8 bits. */
export function product(builder: GraphBuilder, x: Value, { name, values, rows }: Matrix): Value {
  const columns = values.length / rows;
  const blocks = columns / QUANT_BLOCK;
  const { codes, scales } = quantiseRows(values);
  builder.initializer(`${name}.codes`, { type: "uint8", dims: [rows, blocks, QUANT_BLOCK] }, codes);
  builder.initializer(`${name}.scales`, { type: "float32", dims: [rows * blocks] }, bytesOf(scales));
  return builder.node("MatMulNBits", [x, `${name}.codes`, `${name}.scales`], {
    contrib: true,
    attributes: { K: columns, N: rows, bits: 8, block_size: QUANT_BLOCK, accuracy_level: ACCURACY_LEVEL },
  });
}
