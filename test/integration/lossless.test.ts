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

const SPLITS = [1, 2, 4];
/**
 * Each split has its own share of the prompts, and each run takes others, so that all have their turn.
 * FLOWMESH_SEED repeats a run; FLOWMESH_LOSSLESS=whole asks every prompt with every split.
 */
const WHOLE = process.env.FLOWMESH_LOSSLESS === "whole";
const SEED = Number.parseInt(process.env.FLOWMESH_SEED ?? String(Math.floor(Math.random() * 1000)), 10);

type Question = Omit<Ask, "policy">;

/** The prompts at places `first`, `first + step`, …, at temperature 0 and at 1, and some with everything on. */
function questions(first: number, step: number): Question[] {
  const each = (change: Partial<SamplingParams>, every: number) =>
    prompts.flatMap((prompt, place): Question[] => {
      if (place % every !== first % every) return [];
      const content = prompt.turns[0]!;
      const sampling = { ...GREEDY, ...change, seed: 1000 + place };
      return [{ prompt: text.encodeChat([{ role: "user", content }]), sampling, maxTokens: MAX_TOKENS }];
    });
  return [
    ...each({ temperature: 0 }, step),
    ...each({ temperature: 1 }, step),
    ...OTHERS.flatMap((change) => each(change, Math.max(2 * step, 4))),
  ];
}

async function answersOf(asks: readonly Ask[], args: string[]): Promise<Answer[]> {
  const mesh = await startMesh(...args);
  const sessions = await MeshSessions.connect(mesh);
  try {
    return await sessions.askAll(asks, AT_ONCE, text.endTokens);
  } finally {
    await sessions.close();
    await mesh.stop();
  }
}

const tokensOf = (answers: readonly Answer[]) => answers.map(({ tokens }) => tokens);
const commitsOf = (answers: readonly Answer[]) => answers.reduce((sum, { commits }) => sum + commits, 0);

/** Precise numerics have one split in each run, the seed says which: only the engine's arithmetic differs. */
describe.each([
  ["fast", WHOLE ? 1 : 10, SPLITS],
  ["precise", WHOLE ? 1 : 12, WHOLE ? SPLITS : [SPLITS[SEED % SPLITS.length]!]],
] as const)("numerics %s", (numerics, step, splits) => {
  let shares: Question[][];
  let plain: Answer[][];

  beforeAll(async () => {
    shares = splits.map((_, split) => questions(SEED + (WHOLE ? 0 : split), step));
    const asks = WHOLE ? shares.slice(0, 1) : shares;
    const answers = await answersOf(
      asks.flat().map((ask) => ({ ...ask, policy: "autoregressive" })),
      ["--stages", "1", "--numerics", numerics, "--drafter", "none"],
    );
    plain = asks.map(({ length }) => answers.splice(0, length));
  }, 10 * MINUTES);

  test.each(splits.map((stages, split) => [stages, split]))(
    `every policy over %d stages gives autoregressive's tokens: prompts of all kinds, temperature 0 and 1, penalties (seed ${SEED})`,
    async (stages, split) => {
      // Policies take turns with the prompts, differently for each number of stages.
      const asks = shares[split]!.map((ask, index) => ({
        ...ask,
        policy: SPECULATING[(index + stages) % SPECULATING.length]!,
      }));
      const answers = await answersOf(asks, ["--stages", String(stages), "--numerics", numerics]);
      const expected = plain[WHOLE ? 0 : split]!;
      expect(tokensOf(answers)).toEqual(tokensOf(expected));
      expect(commitsOf(answers)).toBeLessThan(commitsOf(expected));
    },
    10 * MINUTES,
  );
});
