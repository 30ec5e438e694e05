import { describe, expect, test } from "bun:test";
import type { Session } from "../../actors/session-port.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { ToyMesh, type ToyMeshOptions } from "./toy-mesh.ts";
import { plainDecoding } from "./toy-model.ts";
import { World } from "./world.ts";

const PROMPT = [3, 1, 4];
const COUNT = 12;
const PACE = [
  { nodes: 1, ms: 24 },
  { nodes: 8, ms: 48 },
];

/** Tokens of an answer, and when the client heard of each commit. */
async function answer(options: ToyMeshOptions, policy: string) {
  const world = new World(1, { delayMs: 0 });
  const mesh = await ToyMesh.start(world, options);
  // Until all have heard that the stages are up.
  await world.play(() => false, 1000);
  let session: Session | undefined;
  const request = { prompt: Uint32Array.from(PROMPT), sampling: GREEDY, stopTokens: [] };
  void mesh.client.open({ ...request, maxTokens: COUNT, policy }).then((opened) => {
    session = opened;
  });
  await world.play(() => session !== undefined);
  const tokens: number[] = [];
  const times: number[] = [];
  void (async () => {
    for await (const commit of session!.commits) {
      tokens.push(...commit.tokens);
      times.push(world.now);
    }
  })();
  await world.play(() => tokens.length === COUNT);
  // Until the stages are done with what is still under way.
  await world.play(() => false, world.now + 1000);
  await world.stop();
  return { tokens, times, warnings: world.warnings };
}

describe("paced stages behind links, in simulation", () => {
  test.each([1, 2, 3, 6])(
    "plain decoding over %d takes S stages' times and S + 1 delays a token",
    async (stages) => {
      const { times } = await answer(
        { stageCount: stages, pace: PACE, link: { delayMs: 20 } },
        "autoregressive",
      );
      expect(times).toHaveLength(COUNT);
      for (const [index, at] of times.entries()) {
        if (index > 0) expect(at - times[index - 1]!).toBeCloseTo(stages * 24 + (stages + 1) * 20, 6);
      }
    },
  );

  test("a rate adds the time of the bytes, and no token changes", async () => {
    const expected = plainDecoding(PROMPT, GREEDY, { count: COUNT, stopTokens: [] });
    for (const policy of ["autoregressive", "flowspec", "fullflow"]) {
      const options = { stageCount: 3, draftSkill: 0.7, pace: PACE, link: { delayMs: 20, mbps: 1 } };
      const { tokens, times, warnings } = await answer(options, policy);
      expect({ policy, tokens, warnings }).toEqual({ policy, tokens: expected, warnings: [] });
      if (policy === "autoregressive") expect(times[2]! - times[1]!).toBeGreaterThan(3 * 24 + 4 * 20);
    }
  });
});
