import { expect, test } from "bun:test";
import type { Session } from "../../actors/session-port.ts";
import { GREEDY, type SamplingParams } from "../../decoding/sampling-params.ts";
import { chiSquaredLimit } from "../decoding/chi-squared.ts";
import { exactDistribution } from "../decoding/naive-sampling.ts";
import { ToyMesh } from "./toy-mesh.ts";
import { TOY, toyLogits, toyStates } from "./toy-model.ts";
import { seededRandom, World } from "./world.ts";

const DRAWS = 100_000;
const PROMPT = [3, 1, 4, 1, 5];
const ANSWER_TOKENS = 32;
const BINS = 40;

/** One answer of a speculating mesh. */
async function answerOf(world: World, mesh: ToyMesh, sampling: SamplingParams): Promise<number[]> {
  const tokens: number[] = [];
  let ended = false;
  const read = async (session: Session) => {
    for await (const commit of session.commits) tokens.push(...commit.tokens);
    ended = true;
  };
  const policy = "flowspec:total=8,topK=2,depth=3,expandTotal=8,segment=3,appended=3";
  const prompt = Uint32Array.from(PROMPT);
  const opening = mesh.client
    .open({ prompt, sampling, maxTokens: ANSWER_TOKENS, stopTokens: [], policy })
    .then(read);
  await world.play(() => ended);
  await opening;
  return tokens;
}

/**
 * Each drawn token's place in its own exact distribution, likeliest tokens first: uniform in [0, 1) and
 * independent of all others if, and only if, the tokens are drawn from those distributions, although each
 * has another one, by all that was drawn before.
 */
function* placesOf(answer: readonly number[], sampling: SamplingParams, random: () => number) {
  const states = toyStates([...PROMPT, ...answer])[TOY.layers]!;
  for (const [i, token] of answer.entries()) {
    const logits = toyLogits(states[PROMPT.length + i - 1]!);
    const exact = exactDistribution(logits, sampling, { prompt: PROMPT, answer: answer.slice(0, i) });
    let below = 0;
    for (const [other, probability] of exact) {
      if (other === token) {
        yield below + random() * probability;
        break;
      }
      below += probability;
    }
    expect(exact.has(token)).toBe(true);
  }
}

const OFF: Partial<SamplingParams> = {};
const PENALTIES = { repetitionPenalty: 0.8, presencePenalty: -0.7, frequencyPenalty: 0.1 };
const ALL: Partial<SamplingParams> = {
  temperature: 0.8,
  topK: 9,
  topP: 0.95,
  minP: 0.03,
  repetitionPenalty: 1.2,
  presencePenalty: 0.4,
  frequencyPenalty: 0.2,
  logitBias: [
    { token: 2, bias: 1.5 },
    { token: 7, bias: -1 },
  ],
};
const SETTINGS = [OFF, { minP: 0.1, temperature: 1.3 }, PENALTIES, ALL];

test(`${DRAWS} tokens that a speculating mesh drew have the exact distribution`, async () => {
  const random = seededRandom(91);
  const bins = new Array<number>(BINS).fill(0);
  let draws = 0;
  for (let seed = 1; draws < DRAWS; seed++) {
    const world = new World(seed, { delayMs: 3 });
    const mesh = await ToyMesh.start(world, { stageCount: 1 + (seed % 2), draftSkill: 0.8 });
    const setting = SETTINGS[seed % SETTINGS.length];
    const sampling = { ...GREEDY, temperature: 1, ...setting, seed: seed * 7919 };
    const answer = await answerOf(world, mesh, sampling);
    expect(answer.length).toBe(ANSWER_TOKENS);
    for (const place of placesOf(answer, sampling, random)) {
      bins[Math.floor(place * BINS)]!++;
      draws++;
    }
    await world.stop();
  }
  const mean = draws / BINS;
  const statistic = bins.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
  expect(statistic).toBeLessThan(chiSquaredLimit(BINS - 1));
}, 1_200_000);
