import { describe, expect, test } from "bun:test";
import { type CommitMessage, type EndMessage, encodeJson, type SessionSpec } from "../../actors/messages.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { stageActor } from "../../actors/stage.ts";
import { epoch, NO_NODE } from "../../decoding/ids.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { LocalStageEngine } from "../../models/local-stage-engine.ts";
import type { StageSpec } from "../../models/stage-spec.ts";
import { decodeFeatures, decodeSegment, encodeSegment } from "../../transport/frame.ts";
import { ANY, draftSubject, sessionSubject, stageSubject } from "../../transport/subjects.ts";
import { ToyMath } from "../simulation/toy-engines.ts";
import { TOY, toyNextToken } from "../simulation/toy-model.ts";
import { World } from "../simulation/world.ts";

const EPOCH = epoch(1);
const TAPPED = { taps: [2], numerics: "fast" } as const;
const SID = "s1";

/** [id, parent, token, position] */
type Node = readonly [id: number, parent: number, token: number, position: number];

const PROMPT_TOKENS = [3, 4];
const ROOT_TOKEN = toyNextToken(PROMPT_TOKENS, 2, GREEDY);
const RIGHT_TOKEN = toyNextToken([...PROMPT_TOKENS, ROOT_TOKEN], 2, GREEDY);

const PROMPT: Node[] = [
  [0, NO_NODE, 3, 0],
  [1, 0, 4, 1],
];
/** Node 4 dies as soon as the root is verified. */
const ROOT_AND_GUESSES: Node[] = [
  [2, 1, ROOT_TOKEN, 2],
  [3, 2, RIGHT_TOKEN, 3],
  [4, 2, RIGHT_TOKEN + 1, 3],
];
const BELOW_THE_DEAD: Node[] = [
  [5, 4, 8, 4],
  [6, 5, 9, 5],
];
const LATER_BELOW_THE_DEAD: Node[] = [[7, 4, 1, 4]];

/** The first stage of a pipeline, or its only one; the neighbours are played by the test. */
class LoneStage {
  readonly world = new World(1, { delayMs: 0 });
  readonly forwarded: number[][] = [];
  readonly featurePositions: number[] = [];
  readonly #transport = this.world.mesh.connect("neighbours");
  readonly #stage: StageSpec;
  readonly #session: SessionSpec;
  readonly #engine: LocalStageEngine<never>;
  #sequence = 0;

  constructor(prunes: boolean, stageCount: number) {
    this.#session = {
      sampling: GREEDY,
      stopTokens: [],
      lastPosition: 99,
      prefillEnd: 1,
      promptTokens: 2,
      prunes,
    };
    const endLayer = TOY.layers / stageCount;
    this.#stage = { index: 0, stageCount, firstLayer: 0, endLayer, layerCount: TOY.layers, ...TAPPED };
    this.#engine = new LocalStageEngine(new ToyMath(this.#stage), 1e9) as never;
    this.#transport.subscribe(stageSubject("toy", EPOCH, 1, ANY), ({ body }) => {
      this.forwarded.push([...decodeSegment({ body }).nodes.ids]);
    });
    this.#transport.subscribe(draftSubject("toy", EPOCH, ANY), ({ body }) => {
      this.featurePositions.push(...decodeFeatures({ body }).positions);
    });
  }

  usage() {
    return this.#engine.usage();
  }

  async start(): Promise<void> {
    const { mesh, clock, log } = this.world;
    const addressed = { mesh: "toy", epoch: EPOCH, spec: this.#stage };
    const actor = stageActor({ ...addressed, hidden: 1, engine: this.#engine, dtype: "f32" });
    this.world.actors.push(await spawn(actor, { transport: mesh.connect("stage-0"), clock, log }));
  }

  async send(nodes: readonly Node[], certain: number, committed = false): Promise<void> {
    const column = (index: number) => Uint32Array.from(nodes, (node) => node[index]!);
    const sequence = this.#sequence++;
    const frame = {
      kind: "segment",
      epoch: EPOCH,
      generation: 0,
      sequence,
      committed,
      certain,
      nodes: { ids: column(0), parents: column(1), tokens: column(2), positions: column(3) },
      width: 0,
      ...(sequence === 0 && { spec: encodeJson(this.#session) }),
    } as const;
    this.#transport.publish(stageSubject("toy", EPOCH, 0, SID), encodeSegment(frame, "f32").body);
    await this.#settle();
  }

  async commit(nodes: number[], tokens: number[], position: number): Promise<void> {
    const commit: CommitMessage = {
      epoch: EPOCH,
      generation: 0,
      segment: 0,
      position,
      nodes,
      tokens,
      text: "",
    };
    this.#transport.publish(sessionSubject("toy", SID, "commit"), encodeJson(commit));
    await this.#settle();
  }

  async end(): Promise<void> {
    const stats = { promptTokens: 1, completionTokens: 1, commits: 1, draftTokens: 0, acceptedTokens: 0 };
    const end: EndMessage = {
      reason: "stop",
      attempt: 0,
      stats: { ...stats, segments: 1, misses: 0, cachedTokens: 0 },
    };
    this.#transport.publish(sessionSubject("toy", SID, "end"), encodeJson(end));
    await this.#settle();
  }

  async #settle(): Promise<void> {
    await this.world.play(() => false, this.world.now + 10);
  }
}

/** The root is verified, by the stage itself if it is the only one, and node 4 is dead. */
async function afterCommit(prunes: boolean, stageCount = 2): Promise<LoneStage> {
  const stage = new LoneStage(prunes, stageCount);
  await stage.start();
  await stage.send(PROMPT, 2, true);
  if (stageCount > 1) await stage.commit([1], [ROOT_TOKEN], 2);
  await stage.send(ROOT_AND_GUESSES, 3);
  if (stageCount > 1) await stage.commit([2], [RIGHT_TOKEN], 3);
  return stage;
}

describe("a stage that has heard a commit", () => {
  test("leaves out what has died, whenever it was sent", async () => {
    const stage = await afterCommit(true);
    await stage.send(BELOW_THE_DEAD, 3);
    await stage.send(LATER_BELOW_THE_DEAD, 4);
    expect(stage.forwarded).toEqual([[0, 1], [2, 3, 4], [], []]);
    await stage.world.stop();
  });

  test("computes the dead of an unpruned session if they were sent before the commit was known", async () => {
    const stage = await afterCommit(false);
    await stage.send(BELOW_THE_DEAD, 3);
    await stage.send(LATER_BELOW_THE_DEAD, 4);
    expect(stage.forwarded).toEqual([[0, 1], [2, 3, 4], [5, 6], []]);
    await stage.world.stop();
  });

  test.each([2, 1])(
    "keeps rows of the dead as long as it computes them, in a pipeline of %d",
    async (stages) => {
      // The prompt, the root and the right guess.
      const alive = 4;
      for (const prunes of [true, false]) {
        const stage = await afterCommit(prunes, stages);
        const rows = async () => (await stage.usage()).liveRows;
        expect(await rows()).toBe(prunes ? alive : alive + 1);
        await stage.send(BELOW_THE_DEAD, 3);
        expect(await rows()).toBe(prunes ? alive : alive + 3);
        await stage.send(LATER_BELOW_THE_DEAD, 5);
        expect(await rows()).toBe(alive);
        await stage.world.stop();
      }
    },
  );

  test.each([true, false])("sends the accepted node's features at once (prunes: %p)", async (prunes) => {
    const stage = await afterCommit(prunes);
    expect(stage.featurePositions).toEqual([0, 1, 2]);
    await stage.world.stop();
  });

  test("keeps nothing of an unpruned session when it ends with commits held back", async () => {
    const stage = await afterCommit(false);
    await stage.end();
    expect((await stage.usage()).sessions).toBe(0);
    await stage.world.stop();
  });
});
