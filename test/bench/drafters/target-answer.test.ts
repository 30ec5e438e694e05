import { afterAll, beforeAll, expect, test } from "bun:test";
import { type OpenBench, openBench } from "../../../bench/drafters/open-bench.ts";
import { answerOf } from "../../../bench/drafters/target-answer.ts";
import { PROMPTS_FILE, readPrompts } from "../../../bench/prompts.ts";
import { defaultCacheRoot } from "../../../cli/cache-root.ts";
import { DEFAULT_HEAD_MANIFEST } from "../../../models/draft/compile-head.ts";
import { readHeadManifest } from "../../../models/draft/head-manifest.ts";

const TOKENS = 10;

let bench: OpenBench;
beforeAll(async () => {
  const drafters = [{ name: "head", kind: "head" }] as const;
  const cache = defaultCacheRoot(process.env);
  bench = await openBench({ drafters, threads: 1, numerics: "fast" }, cache);
}, 180_000);
afterAll(() => bench.close());

test("it has a row of each tapped layer for all positions but the last token's, and leaves no session", async () => {
  const [prompt] = await readPrompts(PROMPTS_FILE);
  const tokens = bench.text.encodeChat([{ role: "user", content: prompt?.turns[0] ?? "" }]);
  const order = { prompt: tokens, temperature: 1, seed: 1, maxTokens: TOKENS, stopTokens: [] };
  const answer = await answerOf(bench.target, order);
  const { taps } = await readHeadManifest(DEFAULT_HEAD_MANIFEST);
  expect([...answer.rows.keys()]).toEqual(taps);
  const positions = tokens.length + TOKENS - 1;
  for (const rows of answer.rows.values()) expect(rows.length).toBe(positions * bench.hidden);
  expect((await bench.target.usage()).sessions).toBe(0);
});

test("it ends with a stop token, and no later than it may", async () => {
  const [prompt] = await readPrompts(PROMPTS_FILE);
  const tokens = bench.text.encodeChat([{ role: "user", content: prompt?.turns[0] ?? "" }]);
  const order = { prompt: tokens, temperature: 0, seed: 1, maxTokens: TOKENS };
  const whole = await answerOf(bench.target, { ...order, stopTokens: [] });
  const stop = whole.tokens[4]!;
  const cut = await answerOf(bench.target, { ...order, stopTokens: [stop] });
  expect(cut.tokens).toEqual(whole.tokens.slice(0, whole.tokens.indexOf(stop) + 1));
  const one = await answerOf(bench.target, { ...order, maxTokens: 1, stopTokens: [] });
  expect(one.tokens).toEqual(whole.tokens.slice(0, 1));
});
