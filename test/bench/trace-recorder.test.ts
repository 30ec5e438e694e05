import { afterEach, describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AcceptanceTrace, readTrace, type TraceTree, writeTrace } from "../../bench/acceptance-trace.ts";
import { RecordingError, recordTraces } from "../../bench/trace-recorder.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { ToyMesh } from "../simulation/toy-mesh.ts";
import { plainDecoding } from "../simulation/toy-model.ts";
import { World } from "../simulation/world.ts";

const PROMPTS = [
  { id: "first", kind: "even", tokens: Uint32Array.of(1, 2, 3) },
  { id: "second", kind: "odd", tokens: Uint32Array.of(4, 10, 7, 0, 5) },
];
const MAX_TOKENS = 12;

let world: World;
afterEach(() => world.stop());

async function record(draftSkill?: number): Promise<AcceptanceTrace | Error> {
  world = new World(11, { delayMs: 5 });
  const skill = draftSkill === undefined ? {} : { draftSkill };
  const mesh = await ToyMesh.start(world, { stageCount: 3, ...skill });
  let result: AcceptanceTrace | Error | undefined;
  recordTraces({
    mesh: "toy",
    transport: world.mesh.connect("recorder"),
    sessions: mesh.client,
    drafter: "toy",
    prompts: PROMPTS,
    temperatures: [0, 1],
    maxTokens: MAX_TOKENS,
    stopTokens: [],
  }).then(
    (trace) => {
      result = trace;
    },
    (error: Error) => {
      result = error;
    },
  );
  await world.play(() => result !== undefined);
  return result!;
}

/** Tokens on the way down, always to the first child. */
function firstPath({ parents, tokens }: TraceTree): number[] {
  const path: number[] = [];
  for (let at = parents.indexOf(-1); at >= 0; at = parents.indexOf(at)) path.push(tokens[at]!);
  return path;
}

describe("a recording", () => {
  test("has every prompt at every temperature, with the tokens of plain decoding", async () => {
    const trace = (await record(0.5)) as AcceptanceTrace;
    expect(trace.header).toMatchObject({ model: "toy", drafter: "toy" });
    const plays = trace.sessions.map(({ prompt, kind, temperature }) => [prompt, kind, temperature]);
    expect(plays).toEqual([
      ["first", "even", 0],
      ["second", "odd", 0],
      ["first", "even", 1],
      ["second", "odd", 1],
    ]);
    for (const { prompt, temperature, promptTokens, tokens } of trace.sessions) {
      const index = PROMPTS.findIndex(({ id }) => id === prompt);
      const { tokens: text } = PROMPTS[index]!;
      const sampling = { ...GREEDY, temperature, seed: 1 + index };
      expect(promptTokens).toBe(text.length);
      expect(tokens).toEqual(plainDecoding([...text], sampling, { count: MAX_TOKENS, stopTokens: [] }));
    }
  });

  test("pairs each token with what was guessed below it", async () => {
    // A drafter that is never wrong guesses first what comes.
    const { sessions } = (await record(1)) as AcceptanceTrace;
    for (const { tokens, trees } of sessions) {
      expect(trees.length).toBe(tokens.length);
      for (const [i, tree] of trees.slice(0, -1).entries()) {
        const path = firstPath(tree);
        expect(path.length).toBe(8);
        const rest = tokens.slice(i + 1);
        expect(path.slice(0, rest.length)).toEqual(rest.slice(0, path.length));
        for (const score of tree.scores) expect(score).toBe(Math.round(score * 1000) / 1000);
      }
      expect(trees.at(-1)?.tokens).toEqual([]);
    }
  });

  test("is read back as it was written", async () => {
    const trace = (await record(0.5)) as AcceptanceTrace;
    const path = join(tmpdir(), `trace-${process.pid}.jsonl.gz`);
    await writeTrace(path, trace);
    expect(await readTrace(path)).toEqual(trace);
    await Bun.file(path).delete();
  });

  test("without a drafter is refused", async () => {
    const error = (await record()) as Error;
    expect(error).toBeInstanceOf(RecordingError);
    expect(error.message).toContain("the drafter did not answer in time for prompt first");
  });
});
