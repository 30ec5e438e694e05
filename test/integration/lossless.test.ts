import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type BenchPrompt, readPrompts } from "../../bench/prompts.ts";
import { startMesh } from "../../bench/running-mesh.ts";
import { POLICIES } from "../../decoding/policies/registry.ts";
import { GREEDY, type SamplingParams } from "../../decoding/sampling-params.ts";
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

const PENALTIES = { repetitionPenalty: 1.15, presencePenalty: 0.3, frequencyPenalty: 0.2 };
/** Asked with every fourth prompt only, as they cost time. */
const OTHERS: Partial<SamplingParams>[] = [
  PENALTIES,
  { ...PENALTIES, temperature: 0.8, topK: 50, topP: 0.95, minP: 0.02, logitBias: [{ token: 198, bias: 2 }] },
];

/** All that speculate. On shared cores fullflow would send little by itself. */
const SPECULATING = [...POLICIES.keys(), "fullflow:gain=0.1"].filter((name) => name !== "autoregressive");

/** `policyAt`: for the question with this index. */
function asksFor(policyAt: (index: number) => string, every: number): Ask[] {
  const ask = (prompt: BenchPrompt, index: number, change: Partial<SamplingParams>) => ({
    prompt: text.encodeChat([{ role: "user", content: prompt.turns[0]! }]),
    sampling: { ...GREEDY, ...change, seed: 1000 + index },
    maxTokens: MAX_TOKENS,
  });
  const each = (change: Partial<SamplingParams>, step: number) =>
    prompts.flatMap((prompt, index) => (index % step === 0 ? [ask(prompt, index, change)] : []));
  return [
    ...each({ temperature: 0 }, every),
    ...each({ temperature: 1 }, every),
    ...OTHERS.flatMap((change) => each(change, 4)),
  ].map((question, index) => ({ ...question, policy: policyAt(index) }));
}

/** The answers of one mesh to all prompts, at temperature 0 and at 1, and to some with everything on. */
async function answersOf(
  policyAt: (index: number) => string,
  every: number,
  args: string[],
): Promise<Answer[]> {
  const mesh = await startMesh(...args);
  const sessions = await MeshSessions.connect(mesh);
  try {
    return await sessions.askAll(asksFor(policyAt, every), AT_ONCE, text.endTokens);
  } finally {
    await sessions.close();
    await mesh.stop();
  }
}

const tokensOf = (answers: readonly Answer[]) => answers.map(({ tokens }) => tokens);

/** With precise numerics every other prompt is enough: only the engine's arithmetic differs. */
describe.each([
  ["fast", 1],
  ["precise", 2],
] as const)("numerics %s", (numerics, every) => {
  let plain: Answer[];

  beforeAll(async () => {
    const args = ["--stages", "1", "--numerics", numerics, "--drafter", "none"];
    plain = await answersOf(() => "autoregressive", every, args);
  }, 10 * MINUTES);

  test.each([1, 2, 4])(
    "every policy over %d stages gives autoregressive's tokens: prompts of all kinds, temperature 0 and 1, penalties",
    async (stages) => {
      // Policies take turns with the prompts, differently for each number of stages.
      const policyAt = (index: number) => SPECULATING[(index + stages) % SPECULATING.length]!;
      const answers = await answersOf(policyAt, every, ["--stages", String(stages), "--numerics", numerics]);
      expect(tokensOf(answers)).toEqual(tokensOf(plain));
      const count = (list: readonly Answer[]) => list.reduce((sum, { commits }) => sum + commits, 0);
      expect(count(answers)).toBeLessThan(count(plain));
    },
    10 * MINUTES,
  );
});
