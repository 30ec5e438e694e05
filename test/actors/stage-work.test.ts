import { describe, expect, test } from "bun:test";
import {
  encodeJson,
  parseJson,
  type SessionSpec,
  stageCostsSchema,
  stageWorkSchema,
} from "../../actors/messages.ts";
import { silentLog } from "../../actors/runtime/log.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { type StageWork, stageActor } from "../../actors/stage.ts";
import { StageReports } from "../../actors/stage-reports.ts";
import { epoch, NO_NODE } from "../../decoding/ids.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { LiveCosts } from "../../models/live-costs.ts";
import { LocalStageEngine } from "../../models/local-stage-engine.ts";
import { Pace } from "../../models/pace.ts";
import type { StageEngine, StageRun } from "../../models/stage-engine.ts";
import type { StageSpec } from "../../models/stage-spec.ts";
import { encodeSegment } from "../../transport/frame.ts";
import { messageBytes } from "../../transport/link-model.ts";
import { MemoryMesh } from "../../transport/memory.ts";
import { eventSubject, stageSubject } from "../../transport/subjects.ts";
import type { Message } from "../../transport/transport.ts";
import { SimulatedClock } from "../simulated-clock.ts";
import { ToyMath } from "../simulation/toy-engines.ts";
import { TOY, toyNextToken } from "../simulation/toy-model.ts";

const MESH = "toy";
const EPOCH = epoch(1);
const SID = "s1";
const RUN_MS = 5;
const TOKEN_MS = 2;
const PACE = [
  { nodes: 1, ms: 24 },
  { nodes: 3, ms: 30 },
];
const PROMPT = [3, 4, 5];

/** The toy's stage, with times of the simulated clock. */
function slowEngine(spec: StageSpec, clock: SimulatedClock): StageEngine {
  const engine = new LocalStageEngine(new ToyMath(spec), 1e9);
  const pass = (ms: number) => new Promise<void>((resolve) => void clock.setTimer(ms, resolve));
  return {
    async run(run: StageRun) {
      const result = await engine.run(run);
      await pass(RUN_MS);
      return { ...result, computeMs: RUN_MS };
    },
    async nextToken(...args) {
      await pass(TOKEN_MS);
      return engine.nextToken(...args);
    },
    commit: (...args) => engine.commit(...args),
    begin: (sid, prefix) => engine.begin(sid, prefix),
    keep: (sid) => engine.keep(sid),
    release: (sid) => engine.release(sid),
    usage: () => engine.usage(),
    close: () => engine.close(),
  };
}

interface Heard {
  readonly atMs: number;
  readonly message: Message;
}

class WorkingStage {
  readonly clock = new SimulatedClock();
  readonly work: StageWork[] = [];
  readonly heard: Heard[] = [];
  readonly pace = new Pace(PACE, this.clock);
  readonly #mesh = new MemoryMesh({ clock: this.clock });
  readonly #sender = this.#mesh.connect("tree");
  #sequence = 0;

  static async start(options: {
    readonly stageCount: number;
    readonly paced: boolean;
  }): Promise<WorkingStage> {
    const stage = new WorkingStage();
    await stage.#start(options);
    return stage;
  }

  async #start({
    stageCount,
    paced,
  }: {
    readonly stageCount: number;
    readonly paced: boolean;
  }): Promise<void> {
    const { clock } = this;
    const endLayer = TOY.layers / stageCount;
    const spec = { index: 0, stageCount, firstLayer: 0, endLayer, layerCount: TOY.layers, taps: [] };
    const stage: StageSpec = { ...spec, numerics: "fast" };
    const actor = stageActor({
      mesh: MESH,
      epoch: EPOCH,
      spec: stage,
      hidden: 1,
      engine: slowEngine(stage, clock),
      dtype: "f32",
      onWork: (work) => void this.work.push(work),
      ...(paced && { pace: this.pace }),
    });
    await spawn(actor, { transport: this.#mesh.connect("stage-0"), clock, log: silentLog });
    this.#sender.subscribe("flow.>", (message) => {
      if (message.subject !== stageSubject(MESH, EPOCH, 0, SID)) {
        this.heard.push({ atMs: clock.now(), message });
      }
    });
  }

  /** Sends nodes of a chain from this position on, and lets time pass until all is done. */
  async send(tokens: readonly number[], position: number, committed: boolean): Promise<void> {
    const column = (at: (i: number) => number) => Uint32Array.from(tokens, (_, i) => at(i));
    const sequence = this.#sequence++;
    const session: SessionSpec = {
      sampling: GREEDY,
      stopTokens: [],
      lastPosition: 99,
      prefillEnd: PROMPT.length - 1,
      promptTokens: PROMPT.length,
      prunes: true,
    };
    const parent = (i: number) => (position + i === 0 ? NO_NODE : position + i - 1);
    const frame = {
      kind: "segment",
      epoch: EPOCH,
      generation: 0,
      sequence,
      committed,
      certain: position,
      nodes: {
        ids: column((i) => position + i),
        parents: column(parent),
        tokens: Uint32Array.from(tokens),
        positions: column((i) => position + i),
      },
      width: 0,
      ...(sequence === 0 && { spec: encodeJson(session) }),
    } as const;
    this.heard.length = 0;
    const { headers, body } = encodeSegment(frame, "f32");
    this.#sender.publish(stageSubject(MESH, EPOCH, 0, SID), body, headers);
    await this.clock.advance(1000);
  }
}

/** What was heard after the segment that was begun at `beginMs`: how long after, and what. */
const after = (beginMs: number, heard: readonly Heard[]) =>
  heard.map(({ atMs, message }) => [atMs - beginMs, message.subject.split(".").slice(-2).join(".")]);

describe("a stage's work", () => {
  test("is told when it has been passed on: nodes, times, and the bytes that went on", async () => {
    const stage = await WorkingStage.start({ stageCount: 2, paced: false });
    await stage.send(PROMPT, 0, true);
    const [work] = stage.work;
    const forwarded = stage.heard.find(({ message }) => message.subject.includes(".stage.1."))!.message;
    expect(work).toEqual({
      sid: SID,
      generation: 0,
      segment: 0,
      nodes: [0, 1, 2],
      committed: true,
      beginMs: 0,
      endMs: RUN_MS,
      computeMs: RUN_MS,
      bytes: messageBytes(forwarded.subject, forwarded.body, forwarded.headers),
    });
    // The credit says that the segment is done.
    expect(after(0, stage.heard)).toEqual([
      [RUN_MS, `tree.${SID}`],
      [RUN_MS, `1.${SID}`],
    ]);
  });

  test("includes the target's tokens at the last stage", async () => {
    const stage = await WorkingStage.start({ stageCount: 1, paced: false });
    await stage.send(PROMPT, 0, true);
    const root = toyNextToken(PROMPT, PROMPT.length, GREEDY);
    const next = toyNextToken([...PROMPT, root], PROMPT.length + 1, GREEDY);
    await stage.send([root, next], PROMPT.length, false);
    expect(stage.work.map(({ computeMs, committed }) => [computeMs, committed])).toEqual([
      [RUN_MS + TOKEN_MS, true],
      [RUN_MS + 2 * TOKEN_MS, false],
    ]);
    const commit = stage.heard.find(({ message }) => message.subject.endsWith(".commit"))!.message;
    expect(stage.work[1]!.bytes).toBe(messageBytes(commit.subject, commit.body));
  });

  test.each([2, 1])("leaves a paced stage of %d when its device would be done", async (stageCount) => {
    const stage = await WorkingStage.start({ stageCount, paced: true });
    await stage.send(PROMPT, 0, true);
    expect(stage.heard.length).toBeGreaterThan(0);
    for (const { atMs } of stage.heard) expect(atMs).toBe(30);
    expect(stage.work[0]).toMatchObject({ beginMs: 0, endMs: 30 });
    expect(stage.work[0]!.computeMs).toBeLessThan(10);
    expect(stage.pace.fit).toEqual({ segments: 1, tight: 0, late: 0 });
  });
});

describe("a stage's reports", () => {
  const work = (nodes: number, computeMs: number): StageWork => ({
    sid: SID,
    generation: 0,
    segment: 7,
    nodes: Array.from({ length: nodes }, (_, i) => i),
    committed: false,
    beginMs: 10,
    endMs: 15.5,
    computeMs,
    bytes: 99,
  });

  function setUp(costs: LiveCosts | typeof PACE, always = false) {
    const clock = new SimulatedClock();
    const mesh = new MemoryMesh({ clock });
    const listener = mesh.connect("listener");
    const told: { atMs: number; ms: number[] }[] = [];
    const reported: unknown[] = [];
    listener.subscribe(eventSubject(MESH, "costs"), (message) => {
      const { epoch: placement, stage, costs: table } = parseJson(stageCostsSchema, message);
      expect([placement, stage]).toEqual([1, 3]);
      told.push({ atMs: clock.now(), ms: table.map(({ ms }) => ms) });
    });
    listener.subscribe(eventSubject(MESH, "work"), (message) => {
      reported.push(parseJson(stageWorkSchema, message));
    });
    const [transport, workTransport] = [mesh.connect("shaped"), mesh.connect("unshaped")];
    const address = { mesh: MESH, epoch: EPOCH, stage: 3, transport, clock };
    const reports = new StageReports({
      ...address,
      costs,
      work: { transport: workTransport, timeOriginMs: 1e12, always },
    });
    return { clock, reports, told, reported };
  }

  test("tell the costs at the start, and when they have moved by a tenth, at most once a second", async () => {
    const { clock, reports, told } = setUp(new LiveCosts(PACE));
    await clock.advance(0);
    expect(told).toHaveLength(1);
    expect(told[0]!.ms[0]).toBeCloseTo(24, 6);
    const costsOfRuns = async (runs: number, ms: number) => {
      for (let run = 0; run < runs; run++) {
        reports.worked(work(1, ms), false);
        await clock.advance(10);
      }
    };
    await costsOfRuns(300, 25);
    expect(told).toHaveLength(1);
    await costsOfRuns(300, 60);
    expect(told.length).toBeGreaterThan(2);
    expect(told.at(-1)!.ms[0]! / 60).toBeCloseTo(1, 1);
    for (const [index, { atMs, ms }] of told.entries()) {
      if (index === 0) continue;
      const before = told[index - 1]!;
      expect(atMs - before.atMs).toBeGreaterThanOrEqual(1000);
      expect(ms.some((each, k) => each / before.ms[k]! > 1.1)).toBe(true);
    }
    expect(reports.costs[0]!.ms / 60).toBeCloseTo(1, 1);
  });

  test("keep to a device's table whatever the real work takes", async () => {
    const { clock, reports, told } = setUp(PACE);
    for (let run = 0; run < 300; run++) reports.worked(work(1, 500), false);
    await clock.advance(5000);
    reports.worked(work(1, 500), false);
    await clock.advance(10);
    expect(told).toEqual([{ atMs: 0, ms: [24, 30] }]);
    expect(reports.costs).toEqual(PACE);
  });

  test("of each segment, in the wall clock's time, only if they are asked for", async () => {
    const asked = setUp(PACE, true);
    asked.reports.worked(work(2, 4), false);
    await asked.clock.advance(10);
    const times = { beginMs: 1e12 + 10, endMs: 1e12 + 15.5 };
    expect(asked.reported).toEqual([{ epoch: 1, stage: 3, ...work(2, 4), ...times }]);
    const quiet = setUp(PACE);
    quiet.reports.worked(work(2, 4), false);
    await quiet.clock.advance(10);
    expect(quiet.reported).toEqual([]);
    // One whose session is watched.
    quiet.reports.worked(work(2, 4), true);
    await quiet.clock.advance(10);
    expect(quiet.reported).toEqual(asked.reported);
  });
});
