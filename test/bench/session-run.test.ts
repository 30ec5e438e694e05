import { afterEach, describe, expect, test } from "bun:test";
import { SessionObserver } from "../../bench/session-observer.ts";
import type { SessionRecord } from "../../bench/session-record.ts";
import { runSession, type SessionRun, stageShares } from "../../bench/session-run.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { TOY_POLICIES, ToyMesh } from "../simulation/toy-mesh.ts";
import { plainDecoding } from "../simulation/toy-model.ts";
import { World } from "../simulation/world.ts";
import { madeCommit, madeRecord, madeWork } from "./made-records.ts";

const STAGES = 3;
const PROMPT = Uint32Array.of(4, 10, 7, 0, 5);
const MAX_TOKENS = 30;
/** Time for what was still on its way to the observer. */
const SETTLE_MS = 20;

let world: World;
afterEach(() => world?.stop());

async function play(policy: string): Promise<{ run: SessionRun; record: SessionRecord }> {
  world = new World(5, { delayMs: 4 });
  const mesh = await ToyMesh.start(world, { stageCount: STAGES, draftSkill: 0.6 });
  const observer = new SessionObserver(world.mesh.connect("observer"), "toy", { drafting: true });
  const bench = { sessions: mesh.client, observer, stageCount: STAGES, settleMs: SETTLE_MS };
  const order = { policy, prompt: PROMPT, sampling: GREEDY, maxTokens: MAX_TOKENS, stopTokens: [] };
  const played = runSession(bench, order);
  let done = false;
  played.finally(() => {
    done = true;
  });
  await world.play(() => done);
  observer.close();
  return played;
}

describe.each(TOY_POLICIES)("an answer with policy %s", (policy) => {
  test("is measured alike by the tree manager and from what was heard", async () => {
    const { run, record } = await play(policy);
    expect(run.tokens).toEqual(plainDecoding([...PROMPT], GREEDY, { count: MAX_TOKENS, stopTokens: [] }));
    expect(run.decodedTokens).toBe(MAX_TOKENS - 1);
    // The tree manager counts misses as its root moves, the observer by what segments had held by then.
    expect(run.afterMissMs.length).toBe(Math.round(run.missShare * (MAX_TOKENS - 2)));
    expect(run.commits).toBeLessThanOrEqual(run.decodedTokens);
    expect(run.segments).toBeGreaterThan(0);
    expect(run.bytes).toBeGreaterThan(0);
    expect(record.reportsMs.length).toBeGreaterThan(0);
    if (policy !== "autoregressive") {
      expect(record.draftings.length).toBeGreaterThan(0);
      return;
    }
    expect(record.draftings).toEqual([]);
    expect(run).toMatchObject({
      missShare: 1,
      draftNodes: 0,
      commits: MAX_TOKENS - 1,
      segments: MAX_TOKENS - 1,
    });
  });
});

describe("shares of a stage's time", () => {
  // Decoding lasts from 100 to 200; nodes 11 and 12 are committed.
  const commits = [
    madeCommit({ atMs: 100, nodes: [10] }),
    madeCommit({ atMs: 150, nodes: [11] }),
    madeCommit({ atMs: 200, nodes: [12] }),
  ];

  test("go to live and dead work by the nodes of each segment", () => {
    const work = [
      madeWork({ stage: 0, beginMs: 110, endMs: 130, nodes: [11, 20, 21, 22] }),
      madeWork({ stage: 0, beginMs: 140, endMs: 150, nodes: [12] }),
      madeWork({ stage: 1, beginMs: 150, endMs: 190, nodes: [20, 21] }),
      madeWork({ stage: 1, beginMs: 190, endMs: 195, nodes: [] }),
    ];
    const [first, second] = stageShares(madeRecord({ commits, work }), 2);
    expect(first?.live).toBeCloseTo(0.15, 10);
    expect(first?.dead).toBeCloseTo(0.15, 10);
    expect(second).toEqual({ live: 0, dead: 0.4 });
  });

  test("only count what lies between the first commit and the last; prompt nodes are live", () => {
    const work = [
      madeWork({ beginMs: 80, endMs: 110, nodes: [1, 2, 3], committed: true }),
      madeWork({ beginMs: 190, endMs: 240, nodes: [30] }),
      madeWork({ beginMs: 240, endMs: 250, nodes: [31] }),
    ];
    const [share] = stageShares(madeRecord({ commits, work }), 1);
    expect(share?.live).toBeCloseTo(0.1, 10);
    expect(share?.dead).toBeCloseTo(0.1, 10);
  });
});
