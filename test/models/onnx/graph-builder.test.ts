import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GraphBuilder } from "../../../models/onnx/graph-builder.ts";
import { WeightsFile } from "../../../models/onnx/weights-file.ts";
import { floatTensor, int64Tensor, OrtSession } from "../../../models/ort-session.ts";
import { scratchFolder } from "../engine/pipeline.ts";

const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Builds a graph, loads it and runs it once. */
async function evaluate(
  build: (builder: GraphBuilder) => void,
  feeds: Parameters<OrtSession["run"]>[0],
): Promise<Float32Array> {
  await using folder = await scratchFolder();
  const weights = new WeightsFile(join(folder.path, "weights.bin"), "weights.bin");
  const builder = new GraphBuilder("test", weights);
  build(builder);
  await writeFile(join(folder.path, "graph.onnx"), builder.build());
  weights.close();
  const session = await OrtSession.open(join(folder.path, "graph.onnx"), { threads: 1 });
  const outputs = await session.run(feeds, ["y"]);
  await session.close();
  return outputs.y!;
}

test("the runtime reads inputs, attributes, inline and external weights as they were given", async () => {
  const large = Float32Array.from({ length: 600 }, (_, i) => i / 8);
  const small = Float32Array.of(1000, 2000);
  const y = await evaluate(
    (builder) => {
      const rows = builder.input("rows", "int64", ["n"]);
      builder.initializer("large", { type: "float32", dims: [300, 2] }, bytesOf(large));
      builder.initializer("small", { type: "float32", dims: [2] }, bytesOf(small));
      const gathered = builder.node("Gather", ["large", rows], { attributes: { axis: 0 } });
      const sum = builder.node("Add", [gathered, "small"]);
      const [left, right] = builder.nodes("Split", [sum, builder.ints(1, 1)], 2, { attributes: { axis: 1 } });
      const swapped = builder.node("Concat", [right!, left!], { attributes: { axis: -1 } });
      const scaled = builder.node("FusedMatMul", [swapped, "eye"], {
        contrib: true,
        attributes: { alpha: { float: 2 } },
      });
      builder.initializer("eye", { type: "float32", dims: [2, 2] }, bytesOf(Float32Array.of(1, 0, 0, 1)));
      builder.output("y", "float32", ["n", 2], scaled);
    },
    { rows: int64Tensor(Uint32Array.of(299, 0)) },
  );
  expect([...y]).toEqual([(2000 + 599 / 8) * 2, (1000 + 598 / 8) * 2, (2000 + 1 / 8) * 2, 2000]);
});

test("streamed weights may be appended in pieces and interleaved with others", async () => {
  const y = await evaluate(
    (builder) => {
      const a = builder.stream("a", { type: "float32", dims: [2, 2] });
      const b = builder.stream("b", { type: "float32", dims: [1, 2] });
      a.append(bytesOf(Float32Array.of(1, 2)));
      b.append(bytesOf(Float32Array.of(10, 20)));
      a.append(bytesOf(Float32Array.of(3, 4)));
      const x = builder.input("x", "float32", [1]);
      builder.output("y", "float32", [2, 2], builder.node("Mul", [builder.node("Add", ["a", "b"]), x]));
    },
    { x: floatTensor(Float32Array.of(1), [1]) },
  );
  expect([...y]).toEqual([11, 22, 13, 24]);
});

test("weights that don't fill their shape exactly are refused", async () => {
  await using folder = await scratchFolder();
  const weights = new WeightsFile(join(folder.path, "weights.bin"), "weights.bin");
  const builder = new GraphBuilder("test", weights);
  const shape = { type: "float32", dims: [3] } as const;
  expect(() => builder.initializer("w", shape, new Uint8Array(8))).toThrow(/w has 8 bytes.*needs 12/);
  const region = builder.stream("v", shape);
  region.append(new Uint8Array(8));
  expect(() => builder.build()).toThrow(/12 bytes got only 8/);
  expect(() => region.append(new Uint8Array(8))).toThrow(/12 bytes got 16/);
  expect(() => builder.stream("v", shape)).toThrow(/v is defined twice/);
  weights.close();
});

test("a graph that the runtime can't load is an error that says why", async () => {
  await using folder = await scratchFolder();
  await writeFile(join(folder.path, "graph.onnx"), "not a graph");
  await expect(OrtSession.open(join(folder.path, "graph.onnx"), { threads: 1 })).rejects.toThrow(
    /graph\.onnx/,
  );
});
