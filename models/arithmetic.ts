import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesOf } from "./graph/linear.ts";
import { GraphBuilder, type Value } from "./onnx/graph-builder.ts";
import { WeightsFile } from "./onnx/weights-file.ts";
import { floatTensor, OrtSession } from "./ort-session.ts";

const ROWS = 8;
const COLUMNS = 256;
const OUTPUTS = 64;
const BLOCK = 32;
const NAME_LENGTH = 8;

/** What the products of a stage are made of: weights of so many bits, activations in int8 (4) or fp32 (1). */
const PRODUCTS = [
  { bits: 4, level: 4 },
  { bits: 4, level: 1 },
  { bits: 8, level: 4 },
] as const;

/**
 * A name for what this processor makes of the operators that stages consist of: processors with the same one
 * give the same bits for the same model, others may give a near-tie to another token. The operators are run
 * once on fixed numbers, and the name is a hash of the bits that come out: 8 hexadecimal digits.
 */
export async function arithmeticName(threads: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "flowmesh-arithmetic-"));
  try {
    const path = join(folder, "graph.onnx");
    const weights = new WeightsFile(join(folder, "weights.bin"), "weights.bin");
    try {
      const builder = new GraphBuilder("arithmetic", weights);
      buildOperators(builder);
      await writeFile(path, builder.build());
    } finally {
      weights.close();
    }
    return await hashOfRun(path, threads);
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
    const codes = Uint8Array.from(
      { length: (OUTPUTS * COLUMNS * bits) / 8 },
      (_, i) => mixed(i + bits) >>> 24,
    );
    const scales = floats(OUTPUTS * blocks, 2).map((scale) => Math.abs(scale) / 64);
    const code = { type: "uint8", dims: [OUTPUTS, blocks, (BLOCK * bits) / 8] } as const;
    builder.initializer(`${name}.codes`, code, codes);
    builder.initializer(`${name}.scales`, { type: "float32", dims: [OUTPUTS * blocks] }, bytesOf(scales));
    return builder.node("MatMulNBits", [x, `${name}.codes`, `${name}.scales`], {
      contrib: true,
      attributes: { K: COLUMNS, N: OUTPUTS, bits, block_size: BLOCK, accuracy_level: level },
    });
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
  Float32Array.from({ length }, (_, i) => mixed(i + seed * 1_000_003) / 2 ** 31 - 1);

/** A 32-bit hash (the finaliser of MurmurHash3). */
function mixed(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
