import { expect, test } from "bun:test";
import { comparePredictions, predict } from "../../bench/prediction.ts";
import { PipelineCosts } from "../../decoding/costs.ts";
import { madeRun } from "./made-records.ts";

const COSTS = new PipelineCosts([[{ nodes: 1, ms: 10 }], [{ nodes: 1, ms: 30 }]]);

test("predicts each contender at each temperature that was recorded", () => {
  const session = (temperature: number) => {
    const tokens = [1, 2, 3, 4];
    const trees = tokens.map(() => ({ parents: [], tokens: [], scores: [] }));
    return { prompt: "p", kind: "k", temperature, promptTokens: 5, tokens, trees };
  };
  const header = { format: "flowmesh acceptance trace 1", model: "m", drafter: "d", date: "now" } as const;
  const trace = { header, sessions: [session(0), session(1)] };
  const contenders = [{ label: "autoregressive", spec: "autoregressive" }];
  const found = predict(contenders, { trace, costs: COSTS, link: { delayMs: 20 } });
  expect(found.map(({ temperature }) => temperature)).toEqual([0, 1]);
  // Both stages and three links a token; what handling the messages takes is a little on top.
  for (const { tokensPerSecond } of found) {
    expect(tokensPerSecond).toBeLessThanOrEqual(10);
    expect(tokensPerSecond).toBeGreaterThan(9.7);
  }
});

test("compares with the first turns of the same policy and temperature alone", () => {
  const run = (policy: string, turn: number, temperature: number, decodeMs: number) => ({
    ...madeRun({ policy, prompt: "p", repeat: 1, decodeMs, commits: 4 }),
    turn,
    temperature,
  });
  const runs = [run("a", 1, 0, 400), run("a", 2, 0, 9), run("a", 1, 1, 9), run("b", 1, 0, 9)];
  const [one] = comparePredictions({
    device: "cpu-fast",
    link: "none",
    contenders: [],
    runs,
    timeLines: [],
    profiles: [],
    predictions: [{ policy: "a", temperature: 0, tokensPerSecond: 7 }],
    actors: [],
  });
  expect(one?.measuredTokensPerSecond).toBeCloseTo((runs[0]!.decodedTokens / 400) * 1000, 9);
});
