import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { threefry2x32 } from "../decoding/noise.ts";
import { blockProduct, FLOAT_ACTIVATIONS, INT8_ACTIVATIONS } from "./graph/block-product.ts";
import { bytesOf } from "./graph/linear.ts";
import type { GraphBuilder, Value } from "./onnx/graph-builder.ts";
import { writeGraph } from "./onnx/write-graph.ts";
import { floatTensor, OrtSession } from "./ort-session.ts";

const ROWS = 8;
const COLUMNS = 256;
const OUTPUTS = 64;
const BLOCK = 32;
const WORD_BITS = 32;
const NAME_LENGTH = 8;
const FILES = { name: "arithmetic", file: "graph.onnx", weights: "weights.bin" } as const;

/** What the products of a stage are made of. */
const PRODUCTS = [
  { bits: 4, level: INT8_ACTIVATIONS },
  { bits: 4, level: FLOAT_ACTIVATIONS },
  { bits: 8, level: INT8_ACTIVATIONS },
] as const;

/**
 * A name for what this processor makes of the operators that stages consist of: processors with the same one
 * give the same bits for the same model, others may give a near-tie to another token. The operators are run
 * once on fixed numbers, and the name is a hash of the bits that come out: 8 hexadecimal digits.
 */
export async function arithmeticName(threads: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "flowmesh-arithmetic-"));
  try {
    await writeGraph(folder, FILES, buildOperators);
    return await hashOfRun(join(folder, FILES.file), threads);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function buildOperators(builder: GraphBuilder): void {
  const x = builder.input("x", "float32", [ROWS, COLUMNS]);
  const gain = builder.initializer("gain", { type: "float32", dims: [COLUMNS] }, bytesOf(floats(COLUMNS, 1)));
  const results: Value[] = PRODUCTS.map(({ bits, level }, index) => {
    const name = `product.${index}`;
    const blocks = COLUMNS / BLOCK;
    const codes = new Uint8Array(words((OUTPUTS * COLUMNS * bits) / WORD_BITS, 5 + index).buffer);
    const scales = floats(OUTPUTS * blocks, 2).map((scale) => Math.abs(scale) / 64);
    const code = { type: "uint8", dims: [OUTPUTS, blocks, (BLOCK * bits) / 8] } as const;
    builder.initializer(`${name}.codes`, code, codes);
    builder.initializer(`${name}.scales`, { type: "float32", dims: [OUTPUTS * blocks] }, bytesOf(scales));
    const shape = { name, rows: OUTPUTS, columns: COLUMNS, bits, blockSize: BLOCK };
    return blockProduct(builder, x, shape, level);
  });
  const matrix = { type: "float32", dims: [COLUMNS, OUTPUTS] } as const;
  builder.initializer("matrix", matrix, bytesOf(floats(COLUMNS * OUTPUTS, 3)));
  results.push(builder.node("MatMul", [x, "matrix"]));
  results.push(builder.node("Exp", [x]), builder.node("Sigmoid", [x]));
  const normed = builder.pick("SkipSimplifiedLayerNormalization", [x, x, gain], [true], {
    contrib: true,
    attributes: { epsilon: { float: 1e-5 } },
  });
  results.push(normed[0]!);
  const all = builder.node("Concat", results, { attributes: { axis: 1 } });
  builder.output("all", "float32", [ROWS, "columns"], all);
}

async function hashOfRun(path: string, threads: number): Promise<string> {
  const session = await OrtSession.open(path, { threads });
  try {
    const { all } = await session.run({ x: floatTensor(floats(ROWS * COLUMNS, 4), [ROWS, COLUMNS]) }, [
      "all",
    ]);
    return createHash("sha256").update(bytesOf(all!)).digest("hex").slice(0, NAME_LENGTH);
  } finally {
    await session.close();
  }
}

/** Numbers in [−1, 1) that are the same on every machine, as those of Math.sin need not be. */
const floats = (length: number, seed: number): Float32Array =>
  Float32Array.from(words(length, seed), (word) => word / 2 ** 31 - 1);

/** Random 32-bit words. */
function words(length: number, seed: number): Uint32Array {
  const block = new Uint32Array(2);
  return Uint32Array.from({ length }, (_, i) => {
    threefry2x32(seed, 0, i, 0, block);
    return block[0]!;
  });
}
