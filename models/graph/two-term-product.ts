import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";

/** Steps of an int8 activation on either side of zero. */
const INT8_STEPS = 127;
/** Keeps the scale of a block of zeros from being zero. */
const LEAST_SCALE = 1e-30;

/**
 * A product with int8 activations at twice the bits: x is split into what int8 with a scale per block holds
 * exactly and the rest, and both go through `product` as rows of one matrix. So the rounding error is that
 * of 15 bits, and each row's result depends on nothing but the row.
 * @param product [rows, columns] to [rows, outputs], linear.
 */
export function twoTermProduct(
  builder: GraphBuilder,
  x: Value,
  blockSize: number,
  product: (rows: Value) => Value,
): Value {
  const blocks = builder.node("Reshape", [x, builder.ints(0, -1, blockSize)]);
  const max = builder.node("ReduceMax", [builder.node("Abs", [blocks]), builder.ints(2)]);
  const scale = builder.node("Max", [
    builder.node("Div", [max, builder.scalar("float32", INT8_STEPS)]),
    builder.scalar("float32", LEAST_SCALE),
  ]);
  const coarse = builder.node("Mul", [builder.node("Round", [builder.node("Div", [blocks, scale])]), scale]);
  const rest = builder.node("Sub", [blocks, coarse]);
  const stacked = builder.node("Concat", [coarse, rest], { attributes: { axis: 0 } });
  const results = product(builder.node("Flatten", [stacked], { attributes: { axis: 1 } }));
  const [first, second] = builder.nodes("Split", [results], 2, { attributes: { axis: 0, num_outputs: 2 } });
  return builder.node("Add", [first!, second!]);
}
