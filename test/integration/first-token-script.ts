/**
 * Time to the first token of prompts of several lengths, none of which begins as another did.
 *
 *   bun test/integration/first-token-script.ts [--stages 4] [--times 9] [up's own options after --, behind one of these]
 */
import { parseArgs } from "node:util";
import OpenAI from "openai";
import { startMesh } from "../../bench/running-mesh.ts";
import { formatSpread, spreadOf } from "../../bench/statistics.ts";

const { values, positionals } = parseArgs({
  options: {
    stages: { type: "string", default: "4" },
    times: { type: "string", default: "9" },
  },
  allowPositionals: true,
});
const WORD_COUNTS = [30, 100, 300, 700];
const WORDS =
  "river stone garden winter machine letter window market silver theory kitchen planet border engine";
/** The drafter's share of a first answer is not counted in the next one's time. */
const PAUSE_MS = 150;

const words = WORDS.split(" ");
const mesh = await startMesh("--stages", values.stages, ...positionals);
const client = new OpenAI({ baseURL: `${mesh.url}/v1`, apiKey: "none", maxRetries: 0 });
let asked = 0;

async function firstTokenMs(wordCount: number): Promise<number> {
  const drawn = Array.from({ length: wordCount }, (_, i) => words[(i * i + i * asked) % words.length]);
  const content = `${++asked}: ${drawn.join(" ")}`;
  const begunMs = performance.now();
  const stream = await client.chat.completions.create({
    ...{ model: "default", messages: [{ role: "user", content }], max_tokens: 2, stream: true },
  });
  let ms = Number.NaN;
  for await (const { choices } of stream) {
    // An answer may end with its first token, which has no text then.
    const isFirst = Number.isNaN(ms) && (choices[0]?.delta.content || choices[0]?.finish_reason);
    if (isFirst) ms = performance.now() - begunMs;
  }
  await Bun.sleep(PAUSE_MS);
  return ms;
}

console.log("words | first token, ms");
for (const wordCount of WORD_COUNTS) {
  const times: number[] = [];
  for (let time = 0; time < Number(values.times); time++) times.push(await firstTokenMs(wordCount));
  console.log([wordCount, formatSpread(spreadOf(times), 0)].join(" | "));
}
await mesh.stop();
