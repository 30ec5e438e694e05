import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type BenchPrompt, readPrompts } from "../../bench/prompts.ts";
import { startMesh } from "../../bench/running-mesh.ts";
import type { ModelText } from "../../models/model-text.ts";
import { type Answer, type Ask, defaultModelText, MeshSessions } from "./mesh-sessions.ts";

const MAX_TOKENS = 16;
const AT_ONCE = 8;
const MINUTES = 60_000;

let text: ModelText;
let prompts: BenchPrompt[];

beforeAll(async () => {
  text = await defaultModelText();
  prompts = await readPrompts(join(import.meta.dir, "../../bench/prompts.jsonl"));
});

function asksFor(policy: string, temperature: number): Ask[] {
  return prompts.map((prompt, index) => ({
    prompt: text.encodeChat([{ role: "user", content: prompt.text }]),
    sampling: { temperature, topP: 1, topK: 0, seed: 1000 + index },
    policy,
    maxTokens: MAX_TOKENS,
  }));
}

/** The answers of one mesh to all prompts, at temperature 0 and at 1. */
async function answersOf(policy: string, args: string[]): Promise<Answer[]> {
  const mesh = await startMesh(...args);
  const sessions = await MeshSessions.connect(mesh);
  try {
    const asks = [...asksFor(policy, 0), ...asksFor(policy, 1)];
    return await sessions.askAll(asks, AT_ONCE, text.endTokens);
  } finally {
    await sessions.close();
    await mesh.stop();
  }
}

const tokensOf = (answers: readonly Answer[]) => answers.map(({ tokens }) => tokens);

describe.each(["fast", "precise"])("numerics %s", (numerics) => {
  let plain: Answer[];

  beforeAll(async () => {
    plain = await answersOf("autoregressive", ["--stages", "1", "--numerics", numerics, "--drafter", "none"]);
  }, 10 * MINUTES);

  test.each([1, 2, 4])(
    "flowspec over %d stages gives autoregressive's tokens on 60 prompts, at temperature 0 and 1",
    async (stages) => {
      const answers = await answersOf("flowspec", ["--stages", String(stages), "--numerics", numerics]);
      expect(tokensOf(answers)).toEqual(tokensOf(plain));
      const count = (list: readonly Answer[]) => list.reduce((sum, { commits }) => sum + commits, 0);
      expect(count(answers)).toBeLessThan(count(plain));
    },
    10 * MINUTES,
  );
});
