import { blockProduct, INT8_ACTIVATIONS } from "../graph/block-product.ts";
import { bytesOf } from "../graph/linear.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { QUANT_BLOCK, quantiseRows } from "./quantise-rows.ts";

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
  // A draft head need not be exact, and its time is that of reading its weights.
  return blockProduct(builder, x, { name, rows, columns, bits: 8, blockSize: QUANT_BLOCK }, INT8_ACTIVATIONS);
}
