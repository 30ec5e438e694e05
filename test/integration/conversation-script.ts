/**
 * Time to the first token of each turn of a conversation: with what earlier turns left in stages and drafter, and
 * the same request again with all of it computed, whose text must be the same.
 *
 *   bun test/integration/conversation-script.ts [--stages 4] [--turns 5] [--conversations 5]
 */
import { parseArgs } from "node:util";
import OpenAI from "openai";
import { startMesh } from "../../bench/running-mesh.ts";
import { spreadOf } from "../../bench/statistics.ts";

const { values } = parseArgs({
  options: {
    stages: { type: "string", default: "4" },
    turns: { type: "string", default: "5" },
    conversations: { type: "string", default: "5" },
  },
});
const MAX_TOKENS = 40;
const QUESTIONS = [
  "Tell me of the sea in three sentences.",
  "How deep is it, and who has been down there?",
  "What lives where no light comes?",
  "Which of these animals would you like to meet, and why?",
  "Write two lines of a poem about it.",
  "What should I read about all this?",
];

interface Turn {
  readonly firstTokenMs: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly answer: string;
}

const mesh = await startMesh("--stages", values.stages);
const client = new OpenAI({ baseURL: `${mesh.url}/v1`, apiKey: "none", maxRetries: 0 });

async function ask(messages: OpenAI.ChatCompletionMessageParam[], reuse: boolean): Promise<Turn> {
  const begunMs = performance.now();
  let firstTokenMs: number | undefined;
  let answer = "";
  let usage: OpenAI.CompletionUsage | undefined | null;
  const stream = await client.chat.completions.create({
    ...{ model: "default", messages, temperature: 0, max_tokens: MAX_TOKENS, flowmesh: { reuse } },
    ...{ stream: true, stream_options: { include_usage: true } },
  });
  for await (const chunk of stream) {
    const text = chunk.choices[0]?.delta.content ?? "";
    if (text !== "") firstTokenMs ??= performance.now() - begunMs;
    answer += text;
    usage = chunk.usage ?? usage;
  }
  return {
    firstTokenMs: firstTokenMs ?? Number.NaN,
    promptTokens: usage?.prompt_tokens ?? 0,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
    answer,
  };
}

const system = (name: string): OpenAI.ChatCompletionMessageParam => ({
  role: "system",
  content: `${name} speaks. Answer in plain words, as one who has been at sea for years.`,
});

const turnCount = Math.min(Number(values.turns), QUESTIONS.length);
const perTurn = (): Turn[][] => Array.from({ length: turnCount }, () => []);
const [withReuse, without] = [perTurn(), perTurn()];
for (let number = 0; number < Number(values.conversations); number++) {
  const messages = [system(`Captain ${number}`)];
  for (let turn = 0; turn < turnCount; turn++) {
    messages.push({ role: "user", content: QUESTIONS[turn]! });
    const warm = await ask(messages, true);
    const cold = await ask(messages, false);
    if (warm.answer !== cold.answer) throw new Error(`turn ${turn + 1} has two answers`);
    withReuse[turn]?.push(warm);
    without[turn]?.push(cold);
    messages.push({ role: "assistant", content: warm.answer });
  }
}
await mesh.stop();

const median = (turns: readonly Turn[], of: (turn: Turn) => number) => spreadOf(turns.map(of)).median;
console.log("turn | prompt tokens | of them cached | first token, ms | nothing cached, ms");
for (const [turn, warm] of withReuse.entries()) {
  const row = [
    turn + 1,
    median(warm, ({ promptTokens }) => promptTokens),
    median(warm, ({ cachedTokens }) => cachedTokens),
    median(warm, ({ firstTokenMs }) => firstTokenMs).toFixed(0),
    median(without[turn] ?? [], ({ firstTokenMs }) => firstTokenMs).toFixed(0),
  ];
  console.log(row.join(" | "));
}
