import { type DequantizableType, dequantize } from "../gguf/dequantize.ts";
import type { Value } from "../onnx/graph-builder.ts";
import type { Numerics } from "../stage-spec.ts";
import { blockProduct, FLOAT_ACTIVATIONS, INT8_ACTIVATIONS } from "./block-product.ts";
import { type BlockForm, blockForm, packRows } from "./block-weights.ts";
import type { GraphParts, ModelParts } from "./stage-graph.ts";
import { twoTermProduct } from "./two-term-product.ts";
import { weightTensor } from "./weight-tensor.ts";

const hasInt8Activations = (form: BlockForm, numerics: Numerics): boolean =>
  numerics === "fast" || form.bits === 8;

/**
 * Whether the product gives one row alone the same bits as among others: with int8 activations it does,
 * while fp32 products of a single row take another kernel with another order of summation.
 */
export function isStableForOneRow(parts: ModelParts, matrix: string): boolean {
  const form = blockForm(weightTensor(parts.gguf, matrix).type);
  return form !== undefined && hasInt8Activations(form, parts.numerics);
}

/** A weight matrix [rows, columns] of the model file. */
export interface WeightMatrix {
  readonly tensor: string;
  /** Row i of the layer is row `rowOrder(i)` of the tensor. */
  readonly rowOrder?: (row: number) => number;
}

/**
 * x [n, columns] times the transposed matrices, side by side: [n, sum of rows]. Neighbours of the same
 * storage type become one product.
 */
export async function linear(
  parts: GraphParts,
  name: string,
  x: Value,
  matrices: readonly WeightMatrix[],
): Promise<Value> {
  const outputs: Value[] = [];
  const sums = new BlockSums(parts, x);
  for (const group of groupByType(parts, matrices)) {
    const groupName = outputs.length === 0 ? name : `${name}.${outputs.length}`;
    const form = blockForm(group.type);
    outputs.push(
      form
        ? await quantisedProduct(parts, groupName, { x, sums, form, ...group })
        : await floatProduct(parts, groupName, { x, ...group }),
    );
  }
  if (outputs.length === 1) return outputs[0]!;
  return parts.builder.node("Concat", outputs, { attributes: { axis: 1 } });
}

interface MatrixGroup {
  readonly type: DequantizableType;
  readonly matrices: WeightMatrix[];
  rows: number;
  readonly columns: number;
}

function groupByType({ gguf }: GraphParts, matrices: readonly WeightMatrix[]): MatrixGroup[] {
  const groups: MatrixGroup[] = [];
  for (const matrix of matrices) {
    const { type, rows, columns } = weightTensor(gguf, matrix.tensor);
    const last = groups.at(-1);
    if (last?.type === type) {
      last.matrices.push(matrix);
      last.rows += rows;
    } else {
      groups.push({ type, matrices: [matrix], rows, columns });
    }
  }
  return groups;
}

/** Sums of x over the blocks of its columns, shared by the products that need them. */
class BlockSums {
  readonly #parts: GraphParts;
  readonly #x: Value;
  #value: Value | undefined;

  constructor(parts: GraphParts, x: Value) {
    this.#parts = parts;
    this.#x = x;
  }

  /** [n, columns / blockSize] */
  get(blockSize: number): Value {
    const { builder } = this.#parts;
    this.#value ??= builder.node(
      "ReduceSum",
      [builder.node("Reshape", [this.#x, builder.ints(0, -1, blockSize)]), builder.ints(2)],
      { attributes: { keepdims: 0 } },
    );
    return this.#value;
  }
}

/**
 * `MatMulNBits`, exact in the weights: it computes scale · (code − zero), and the remainder of types with
 * an offset is constant in each block, hence a product of x's block sums with one number a block.
 */
async function quantisedProduct(
  parts: GraphParts,
  name: string,
  group: MatrixGroup & { x: Value; sums: BlockSums; form: BlockForm },
): Promise<Value> {
  const { builder, numerics } = parts;
  const { form, rows, columns, x } = group;
  const { bits, blockSize } = form;
  const blocks = columns / blockSize;
  const codes = builder.stream(`${name}.codes`, {
    type: "uint8",
    dims: [rows, blocks, (blockSize * bits) / 8],
  });
  const scales = builder.stream(`${name}.scales`, { type: "float32", dims: [rows * blocks] });
  const remainders = form.hasRemainder
    ? builder.stream(`${name}.remainders`, { type: "float32", dims: [rows, blocks] })
    : undefined;
  for (const matrix of group.matrices) {
    const { bytes, rows } = await readRows(parts, matrix);
    for (const packed of packRows(form, bytes, rows)) {
      codes.append(packed.codes);
      scales.append(bytesOf(packed.scales));
      if (packed.remainders) remainders?.append(bytesOf(packed.remainders));
    }
  }
  const level = hasInt8Activations(form, numerics) ? INT8_ACTIVATIONS : FLOAT_ACTIVATIONS;
  const multiply = (x: Value): Value =>
    blockProduct(builder, x, { name, rows: group.rows, columns, bits, blockSize }, level);
  // onnxruntime has no fp32 kernel for 8 bits: it would dequantise all weights anew in each run.
  const isTwoTerm = numerics === "precise" && bits === 8;
  const product = isTwoTerm ? twoTermProduct(builder, x, blockSize, multiply) : multiply(x);
  if (!remainders) return product;
  return builder.node("Gemm", [group.sums.get(blockSize), `${name}.remainders`, product], {
    attributes: { transB: 1 },
  });
}

async function floatProduct(
  parts: GraphParts,
  name: string,
  group: MatrixGroup & { x: Value },
): Promise<Value> {
  const { builder } = parts;
  const weights = builder.stream(`${name}.weights`, { type: "float32", dims: [group.rows, group.columns] });
  for (const matrix of group.matrices) {
    const { bytes, rows } = await readRows(parts, matrix);
    weights.append(bytesOf(dequantize(group.type, bytes, rows * group.columns)));
  }
  return builder.node("FusedMatMul", [group.x, `${name}.weights`], {
    contrib: true,
    attributes: { transB: 1 },
  });
}

async function readRows({ gguf }: GraphParts, matrix: WeightMatrix) {
  const bytes = await gguf.readTensor(matrix.tensor);
  const { rows } = weightTensor(gguf, matrix.tensor);
  const { rowOrder } = matrix;
  if (!rowOrder) return { bytes, rows };
  const rowBytes = bytes.byteLength / rows;
  const ordered = new Uint8Array(bytes.byteLength);
  for (let row = 0; row < rows; row++) {
    const from = rowOrder(row) * rowBytes;
    ordered.set(bytes.subarray(from, from + rowBytes), row * rowBytes);
  }
  return { bytes: ordered, rows };
}

export function bytesOf(array: Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
