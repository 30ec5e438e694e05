import { describe, expect, test } from "bun:test";
import type { DequantizableType } from "../../../models/gguf/dequantize.ts";
import { OrtStageMath } from "../../../models/ort-stage-math.ts";
import type { Numerics } from "../../../models/stage-spec.ts";
import type { TinyGgufOptions } from "../../tiny-gguf.ts";
import { compile, openTiny, Pipeline, scratchFolder, segmentOf, type TreeNode } from "../engine/pipeline.ts";
import { NaiveLlama } from "./naive-llama.ts";

/** Root mean square of the difference over that of the reference. */
function relativeError(actual: Float32Array, expected: readonly Float64Array[]): number {
  const flat = expected.flatMap((row) => [...row]);
  expect(actual.length).toBe(flat.length);
  let difference = 0;
  let size = 0;
  flat.forEach((value, i) => {
    difference += (actual[i]! - value) ** 2;
    size += value ** 2;
  });
  return Math.sqrt(difference / size);
}

/** Prompt of 5 tokens and a tree of 7 nodes below it. */
const PARENTS = [-1, 0, 1, 2, 3, 4, 4, 5, 5, 6, 7, 9];
function tree(): TreeNode[] {
  const nodes: TreeNode[] = [];
  for (const [id, parent] of PARENTS.entries()) {
    const position = parent < 0 ? 0 : nodes[parent]!.position + 1;
    nodes.push({ id, parent, token: (id * 37 + 11) % 384, position });
  }
  return nodes;
}

async function errors(options: Partial<TinyGgufOptions>, numerics: Numerics) {
  await using folder = await scratchFolder();
  const gguf = await openTiny(folder.path, { layers: 2, ...options });
  const nodes = tree();
  const expected = await new NaiveLlama(gguf).forward(nodes);
  const settings = { bounds: [0, 2], numerics, taps: [1], cacheDir: folder.path };
  await using pipeline = await Pipeline.open(gguf, settings);
  const [stage] = await compile(gguf, settings);
  await gguf.close();
  const prompt = await pipeline.run("s", segmentOf(nodes.slice(0, 5)), true);
  const drafted = await pipeline.run("s", segmentOf(nodes.slice(5)), false);
  const math = await OrtStageMath.open({ dir: stage!.dir, threads: 1 });
  const logits = await math.logits(drafted.hidden.slice(-math.hidden));
  await math.close();
  const { residuals } = expected;
  return {
    prompt: relativeError(prompt.hidden, residuals[2]!.slice(0, 5)),
    tap: relativeError(prompt.taps[0]!.rows, residuals[1]!.slice(0, 5)),
    tree: relativeError(drafted.hidden, residuals[2]!.slice(5)),
    logits: relativeError(logits, expected.logits.slice(-1)),
  };
}

const SMALL_BLOCKS: readonly DequantizableType[] = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"];
const LARGE_BLOCKS: readonly DequantizableType[] = ["Q4_K", "Q6_K"];

/** fp32 rounding and, for 8-bit weights, activations of 15 bits; or activations of 8 bits. */
const TOLERANCE: Readonly<Record<Numerics, number>> = { precise: 2e-4, fast: 0.03 };

describe.each(["precise", "fast"] as const)(
  "a %s stage computes what the architecture defines",
  (numerics) => {
    const expectClose = async (options: Partial<TinyGgufOptions>) => {
      const result = await errors(options, numerics);
      for (const [what, error] of Object.entries(result)) {
        expect([what, error < TOLERANCE[numerics] ? "close" : error]).toEqual([what, "close"]);
      }
    };

    test.each(SMALL_BLOCKS)("with weights of type %s", async (type) => {
      const types = { embedding: type, output: type, attention: type, ffn: type };
      await expectClose({ types, tied: false });
    });

    test.each(LARGE_BLOCKS)("with weights of type %s", async (type) => {
      const types = { embedding: type, output: type, attention: type, ffn: type };
      await expectClose({ types, tied: true, hidden: 256, ffn: 512, heads: 4, kvHeads: 1 });
    });

    test("with scaled rope, tied embeddings and a key-value head for each query head", async () => {
      await expectClose({ ropeFactors: true, tied: true, heads: 2, kvHeads: 2 });
    });

    test("with mixed types, one of them unquantised", async () => {
      const types = { embedding: "Q4_0", output: "F16", attention: "F32", ffn: "Q8_0" } as const;
      await expectClose({ types, tied: false });
    });
  },
);
