import { expect, test } from "bun:test";
import { encodeJson, type SessionSpec } from "../../actors/messages.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { stageActor } from "../../actors/stage.ts";
import { epoch, NO_NODE, tokenId } from "../../decoding/ids.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import type { StageEngine } from "../../models/stage-engine.ts";
import type { StageSpec } from "../../models/stage-spec.ts";
import { encodeSegment } from "../../transport/frame.ts";
import { stageSubject } from "../../transport/subjects.ts";
import { NOTHING_HELD } from "../models/engine/pipeline.ts";
import { World } from "../simulation/world.ts";

const SPEC: StageSpec = {
  index: 0,
  stageCount: 1,
  firstLayer: 0,
  endLayer: 2,
  layerCount: 2,
  taps: [],
  numerics: "fast",
};

/** Counts that the verifier gave, as "token×times in the answer", and the position. */
type Draw = readonly [position: number, ...counts: string[]];

/** A model that computes nothing and draws what it is told. */
function scriptedEngine(answer: readonly number[], firstPosition: number, draws: Draw[]): StageEngine {
  return {
    run: async ({ nodes }) => ({
      nodes,
      hidden: new Float32Array(nodes.ids.length),
      taps: [],
      computeMs: 0,
    }),
    nextToken: async (_row, _sampling, position, { tokens, inAnswer }) => {
      draws.push([position, ...Array.from(tokens, (token, i) => `${token}×${inAnswer[i]}`).sort()]);
      return { token: tokenId(answer[position - firstPosition]!) };
    },
    commit: async () => {},
    begin: async (_session, prefix) => prefix.length,
    keep: async () => {},
    release: async () => {},
    usage: async () => NOTHING_HELD,
    close: async () => {},
  };
}

/** Plays chains of tokens, each behind the one before: committed ones first. */
async function drawsOf(
  spec: Partial<SessionSpec>,
  chains: readonly { readonly tokens: readonly number[]; readonly committed: boolean }[],
  answer: readonly number[],
): Promise<Draw[]> {
  const world = new World(1, { delayMs: 0 });
  const draws: Draw[] = [];
  const prefilled = chains.filter(({ committed }) => committed).flatMap(({ tokens }) => tokens).length;
  const engine = scriptedEngine(answer, prefilled, draws);
  const actor = stageActor({ mesh: "m", epoch: epoch(1), spec: SPEC, hidden: 1, engine, dtype: "f32" });
  const { mesh, clock, log } = world;
  world.actors.push(await spawn(actor, { transport: mesh.connect("stage-0"), clock, log }));
  const sender = mesh.connect("tree");
  const session: SessionSpec = {
    sampling: GREEDY,
    stopTokens: [],
    lastPosition: 99,
    prefillEnd: prefilled - 1,
    promptTokens: prefilled,
    prunes: true,
    ...spec,
  };
  let next = 0;
  for (const [sequence, { tokens, committed }] of chains.entries()) {
    const ids = Uint32Array.from(tokens, () => next++);
    const nodes = {
      ids,
      parents: ids.map((id) => (id === 0 ? NO_NODE : id - 1)),
      tokens: Uint32Array.from(tokens),
      positions: ids,
    };
    const frame = {
      kind: "segment",
      epoch: epoch(1),
      generation: 0,
      sequence,
      committed,
      certain: prefilled,
      nodes,
      ...(sequence === 0 && { spec: encodeJson(session) }),
    } as const;
    const { headers, body } = encodeSegment(
      { ...frame, rows: new Float32Array(tokens.length), width: 1 },
      "f32",
    );
    sender.publish(stageSubject("m", epoch(1), 0, "s1"), body, headers);
  }
  await world.play(() => false, 1000);
  await world.stop();
  return draws;
}

test("the verifier's counts grow with each node of a walk, from the prompt's chunks on", async () => {
  const sampling = { ...GREEDY, repetitionPenalty: 1.1, frequencyPenalty: 0.5 };
  const chains = [
    { tokens: [7, 8], committed: true },
    { tokens: [7], committed: true },
    { tokens: [5, 7, 6], committed: false },
    { tokens: [5, 9], committed: false },
  ];
  expect(await drawsOf({ sampling }, chains, [5, 7, 6, 5, 4, 3])).toEqual([
    [3, "7×0", "8×0"],
    [4, "5×1", "7×0", "8×0"],
    [5, "5×1", "7×1", "8×0"],
    [6, "5×1", "6×1", "7×1", "8×0"],
    [7, "5×2", "6×1", "7×1", "8×0"],
  ]);
});

test("a replay that sends some of the answer as a prompt still counts it as answer", async () => {
  const sampling = { ...GREEDY, presencePenalty: 0.5 };
  const chains = [
    { tokens: [7, 8, 5, 7], committed: true },
    { tokens: [6], committed: false },
  ];
  expect(await drawsOf({ sampling, promptTokens: 2 }, chains, [6, 1])).toEqual([
    [4, "5×1", "7×1"],
    [5, "5×1", "6×1", "7×1"],
  ]);
});

test("without penalties nothing is counted for the model", async () => {
  const chains = [{ tokens: [7, 8], committed: true }];
  expect(await drawsOf({ sampling: { ...GREEDY, minP: 0.2 } }, chains, [5])).toEqual([[2]]);
});
