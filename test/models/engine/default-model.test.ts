import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { NO_COUNTS } from "../../../decoding/path-tokens.ts";
import { GREEDY } from "../../../decoding/sampling-params.ts";
import type { CompiledStage } from "../../../models/compile.ts";
import { type GgufFile, openGguf } from "../../../models/gguf/gguf-file.ts";
import { LocalStageEngine } from "../../../models/local-stage-engine.ts";
import { OrtStageMath } from "../../../models/ort-stage-math.ts";
import type { Numerics } from "../../../models/stage-spec.ts";
import greedyReference from "../../fixtures/reference/greedy-fp32.json" with { type: "json" };
import lossReference from "../../fixtures/reference/loss-fp32.json" with { type: "json" };
import { defaultModelPath } from "../../model.ts";
import { chainOf, compile, scratchFolder, segmentOf } from "./pipeline.ts";

const LOSS_TOKENS = 256;
const TIMEOUT_MS = 120_000;

/** Mean negative log-likelihood of the reference text's next tokens, and the last layer's tap rows. */
async function meanLoss(stage: CompiledStage): Promise<number> {
  const math = await OrtStageMath.open({ dir: stage.dir, threads: 2 });
  const engine = new LocalStageEngine(math, 1e9);
  const tokens = lossReference.tokens.slice(0, LOSS_TOKENS);
  const { hidden } = await engine.run({ session: "s", nodes: segmentOf(chainOf(tokens)), committed: true });
  let sum = 0;
  for (let i = 0; i + 1 < LOSS_TOKENS; i++) {
    const logits = await math.logits(hidden.subarray(i * math.hidden, (i + 1) * math.hidden));
    sum += logSumExp(logits) - logits[tokens[i + 1]!]!;
  }
  await engine.close();
  return sum / (LOSS_TOKENS - 1);
}

function logSumExp(logits: Float32Array): number {
  const max = logits.reduce((a, b) => Math.max(a, b));
  return max + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0));
}

describe("the default model against an fp32 implementation", () => {
  let folder: Awaited<ReturnType<typeof scratchFolder>>;
  let gguf: GgufFile;
  beforeAll(async () => {
    folder = await scratchFolder();
    gguf = await openGguf(await defaultModelPath());
  }, TIMEOUT_MS);
  afterAll(async () => {
    await gguf.close();
    await folder[Symbol.asyncDispose]();
  });

  const whole = async (numerics: Numerics): Promise<CompiledStage> => {
    const [stage] = await compile(gguf, { bounds: [0, 30], numerics, cacheDir: folder.path });
    return stage!;
  };

  test.each([
    ["precise", 0.0005],
    ["fast", 0.005],
  ] as const)(
    "%s numerics have its loss on a text",
    async (numerics, tolerance) => {
      const expected =
        lossReference.losses.slice(0, LOSS_TOKENS - 1).reduce((sum, loss) => sum + loss, 0) /
        (LOSS_TOKENS - 1);
      const loss = await meanLoss(await whole(numerics));
      expect(Math.abs(loss / expected - 1)).toBeLessThan(tolerance);
    },
    TIMEOUT_MS,
  );

  test.each([
    ["precise", 0.01, 3],
    ["fast", 0.7, 60],
  ] as const)(
    "%s numerics choose its tokens, but for near-ties below %d, of which there are at most %d",
    async (numerics, nearTie, nearTiesMax) => {
      let nearTies = 0;
      const { dir } = await whole(numerics);
      const math = await OrtStageMath.open({ dir, threads: 2 });
      const engine = new LocalStageEngine(math, 1e9);
      for (const { id, promptTokens, tokens, gaps } of greedyReference.answers) {
        const path = chainOf([...promptTokens, ...tokens.slice(0, -1)]);
        const { hidden } = await engine.run({ session: id, nodes: segmentOf(path), committed: true });
        await engine.release(id);
        for (const [i, token] of tokens.entries()) {
          const row = promptTokens.length - 1 + i;
          const hiddenRow = hidden.subarray(row * math.hidden, (row + 1) * math.hidden);
          const { token: chosen } = await engine.nextToken(hiddenRow, GREEDY, row + 1, NO_COUNTS);
          if (chosen === token) continue;
          expect([id, i, gaps[i]! < nearTie ? "near-tie" : gaps[i]!]).toEqual([id, i, "near-tie"]);
          nearTies++;
        }
      }
      await engine.close();
      expect(nearTies).toBeLessThanOrEqual(nearTiesMax);
    },
    TIMEOUT_MS,
  );
});
