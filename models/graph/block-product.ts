import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";

/** Accuracy levels of `MatMulNBits`: what the activations are rounded to before the product. */
export const INT8_ACTIVATIONS = 4;
export const FLOAT_ACTIVATIONS = 1;

export interface BlockMatrix {
  /** Its codes and scales are the initializers `<name>.codes` and `<name>.scales`. */
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly blockSize: number;
}

/** x [n, columns] times the transposed matrix of quantised blocks: [n, rows]. */
export const blockProduct = (
  builder: GraphBuilder,
  x: Value,
  { name, rows, columns, bits, blockSize }: BlockMatrix,
  accuracyLevel: typeof INT8_ACTIVATIONS | typeof FLOAT_ACTIVATIONS,
): Value =>
  builder.node("MatMulNBits", [x, `${name}.codes`, `${name}.scales`], {
    contrib: true,
    attributes: { K: columns, N: rows, bits, block_size: blockSize, accuracy_level: accuracyLevel },
  });
