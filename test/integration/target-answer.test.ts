import { expect, test } from "bun:test";
import { openBench } from "../../bench/drafters/open-bench.ts";
import { answerOf } from "../../bench/drafters/target-answer.ts";
import { PROMPTS_FILE, readPrompts } from "../../bench/prompts.ts";
import { startMesh } from "../../bench/running-mesh.ts";
import { defaultCacheRoot } from "../../cli/cache-root.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { MeshSessions } from "./mesh-sessions.ts";

const TOKENS = 10;

test("what bench-drafters takes for the target's answers is what a running mesh gives", async () => {
  const drafters = [{ name: "head", kind: "head" }] as const;
  const bench = await openBench({ drafters, threads: 1, numerics: "fast" }, defaultCacheRoot(process.env));
  const mesh = await startMesh("--stages", "2");
  const sessions = await MeshSessions.connect(mesh);
  try {
    const stopTokens = bench.text.endTokens;
    for (const [place, { turns }] of (await readPrompts(PROMPTS_FILE)).slice(0, 6).entries()) {
      const prompt = bench.text.encodeChat([{ role: "user", content: turns[0]! }]);
      const order = { prompt, temperature: place % 2, seed: 1 + place, maxTokens: TOKENS, stopTokens };
      const sampling = { ...GREEDY, temperature: order.temperature, seed: order.seed };
      const ask = { prompt, sampling, policy: "autoregressive", maxTokens: TOKENS };
      const { tokens } = await sessions.ask(ask, stopTokens);
      expect(tokens.length).toBeGreaterThan(0);
      expect((await answerOf(bench.target, order)).tokens).toEqual(tokens);
    }
  } finally {
    await sessions.close();
    await mesh.stop();
    await bench.close();
  }
}, 300_000);
