import { describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type DequantizableType, dequantize } from "../../../models/gguf/dequantize.ts";
import { openGguf } from "../../../models/gguf/gguf-file.ts";
import type { LlamaConfig } from "../../../models/gguf/llama-config.ts";
import { embedding } from "../../../models/graph/embedding.ts";
import { linear } from "../../../models/graph/linear.ts";
import type { GraphParts } from "../../../models/graph/stage-graph.ts";
import { GraphBuilder, type Value } from "../../../models/onnx/graph-builder.ts";
import { WeightsFile } from "../../../models/onnx/weights-file.ts";
import { floatTensor, int64Tensor, OrtSession } from "../../../models/ort-session.ts";
import type { Numerics } from "../../../models/stage-spec.ts";
import { bitsOf, scratchFolder } from "../engine/pipeline.ts";
import { ggufBytes } from "../gguf/gguf-bytes.ts";
import { randomTensorBytes, seededRandom } from "../gguf/random-tensor.ts";

const TYPES: readonly DequantizableType[] = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"];
const COLUMNS = 512;

interface Matrix {
  readonly name: string;
  readonly type: DequantizableType;
  readonly rows: number;
  readonly bytes: Uint8Array;
}

function randomMatrix(name: string, type: DequantizableType, rows: number): Matrix {
  const random = seededRandom(rows);
  const bytes = randomTensorBytes({ type, shape: [rows, COLUMNS], spread: 0.05 }, random);
  return { name, type, rows, bytes };
}

/** The graph config reads nothing but the tensors in these tests. */
const NO_CONFIG = {} as LlamaConfig;

async function evaluate(
  matrices: readonly Matrix[],
  numerics: Numerics,
  build: (parts: GraphParts) => Promise<Value>,
  feeds: Parameters<OrtSession["run"]>[0],
): Promise<Float32Array> {
  await using folder = await scratchFolder();
  const path = join(folder.path, "m.gguf");
  const tensors = matrices.map(({ name, type, rows, bytes }) => ({
    name,
    type,
    shape: [rows, COLUMNS],
    bytes,
  }));
  await writeFile(path, ggufBytes({ metadata: [], tensors }));
  const gguf = await openGguf(path);
  const weights = new WeightsFile(join(folder.path, "weights.bin"), "weights.bin");
  const builder = new GraphBuilder("test", weights);
  const value = await build({ builder, gguf, config: NO_CONFIG, numerics });
  builder.output("y", "float32", ["n", "out"], value);
  await writeFile(join(folder.path, "graph.onnx"), builder.build());
  weights.close();
  await gguf.close();
  const session = await OrtSession.open(join(folder.path, "graph.onnx"), { threads: 1 });
  const { y } = await session.run(feeds, ["y"]);
  await session.close();
  return y!;
}

const valuesOf = ({ type, rows, bytes }: Matrix): Float32Array => dequantize(type, bytes, rows * COLUMNS);

/** [n, columns] times the transposed matrices, in double. */
function naiveProduct(x: Float32Array, matrices: readonly Matrix[]): Float64Array {
  const weights = matrices.map(valuesOf);
  const out: number[] = [];
  for (let row = 0; row < x.length / COLUMNS; row++) {
    for (const matrix of weights) {
      for (let from = 0; from < matrix.length; from += COLUMNS) {
        let sum = 0;
        for (let i = 0; i < COLUMNS; i++) sum += x[row * COLUMNS + i]! * matrix[from + i]!;
        out.push(sum);
      }
    }
  }
  return Float64Array.from(out);
}

function relativeError(actual: Float32Array, expected: Float64Array): number {
  expect(actual.length).toBe(expected.length);
  const size = Math.hypot(...expected);
  return Math.hypot(...actual.map((value, i) => value - expected[i]!)) / size;
}

const ROWS = 3;
function activations(): Float32Array {
  const random = seededRandom(5);
  return Float32Array.from({ length: ROWS * COLUMNS }, () => (random() - 0.5) * 4);
}

async function productError(matrices: readonly Matrix[], numerics: Numerics): Promise<number> {
  const x = activations();
  const actual = await evaluate(
    matrices,
    numerics,
    (parts) =>
      linear(
        parts,
        "product",
        parts.builder.input("x", "float32", ["n", COLUMNS]),
        matrices.map(({ name }) => ({ tensor: name })),
      ),
    { x: floatTensor(x, [ROWS, COLUMNS]) },
  );
  return relativeError(actual, naiveProduct(x, matrices));
}

describe.each(TYPES)("weights of type %s", (type) => {
  test("multiply as their dequantised values do", async () => {
    const matrices = [randomMatrix("a", type, 48), randomMatrix("b", type, 16)];
    expect(await productError(matrices, "precise")).toBeLessThan(1e-4);
    expect(await productError(matrices, "fast")).toBeLessThan(0.01);
  });

  test("are looked up bit for bit as their dequantised values", async () => {
    const table = randomMatrix("token_embd.weight", type, 20);
    const rows = Uint32Array.of(19, 0, 7, 7);
    const actual = await evaluate(
      [table],
      "fast",
      (parts) => embedding(parts, parts.builder.input("tokens", "int64", ["n"])),
      { tokens: int64Tensor(rows) },
    );
    const values = valuesOf(table);
    const expected = Float32Array.from(
      [...rows].flatMap((row) => [...values.slice(row * COLUMNS, (row + 1) * COLUMNS)]),
    );
    expect(bitsOf(actual)).toEqual(bitsOf(expected));
  });
});

test("matrices of different types stand side by side in the given order", async () => {
  const matrices = [
    randomMatrix("a", "Q4_K", 24),
    randomMatrix("b", "Q4_K", 8),
    randomMatrix("c", "Q6_K", 16),
    randomMatrix("d", "F16", 8),
    randomMatrix("e", "Q4_K", 32),
  ];
  expect(await productError(matrices, "precise")).toBeLessThan(1e-4);
});

test("rows of zeros give zeros, not NaN", async () => {
  for (const type of ["Q8_0", "Q4_1"] as const) {
    for (const numerics of ["fast", "precise"] as const) {
      const matrix = randomMatrix("a", type, 16);
      const actual = await evaluate(
        [matrix],
        numerics,
        (parts) =>
          linear(parts, "product", parts.builder.input("x", "float32", ["n", COLUMNS]), [{ tensor: "a" }]),
        { x: floatTensor(new Float32Array(2 * COLUMNS), [2, COLUMNS]) },
      );
      expect([...actual].every((value) => value === 0)).toBe(true);
    }
  }
});
