import { describe, expect, test } from "bun:test";
import type { SessionEnd, SessionRequest } from "../../actors/session-port.ts";
import { epoch } from "../../decoding/ids.ts";
import { GREEDY, type SamplingParams } from "../../decoding/sampling-params.ts";
import { decodeSegment } from "../../transport/frame.ts";
import { ANY, parseStage, stageSubject } from "../../transport/subjects.ts";
import { TOY_POLICIES, ToyMesh, type ToyMeshOptions } from "./toy-mesh.ts";
import { plainDecoding } from "./toy-model.ts";
import { type Faults, seededRandom, World } from "./world.ts";

const SEEDS = 24;
const TURNS = 4;

interface Answer {
  readonly tokens: readonly number[];
  readonly end: SessionEnd;
  /** Tokens of the prompt that were sent to the first stage, the last time that it was sent. */
  readonly computed: number;
}

/** A mesh and a client that asks it one question after the other. */
class Asked {
  readonly world: World;
  readonly mesh: ToyMesh;
  /** By session: what the newest generation has sent as certain. */
  readonly #sent = new Map<string, { generation: number; positions: Set<number> }>();

  static async start(seed: number, options: ToyMeshOptions): Promise<Asked> {
    const world = new World(seed, { delayMs: 3 });
    return new Asked(world, await ToyMesh.start(world, options));
  }

  private constructor(world: World, mesh: ToyMesh) {
    this.world = world;
    this.mesh = mesh;
    world.mesh.connect("witness").subscribe(stageSubject("toy", epoch(1), 0, ANY), ({ subject, body }) => {
      const { generation, committed, nodes } = decodeSegment({ body });
      const sid = parseStage(subject)?.sid ?? "";
      const known = this.#sent.get(sid);
      const sent =
        known === undefined || known.generation < generation
          ? { generation, positions: new Set<number>() }
          : known;
      if (sent.generation === generation && committed)
        for (const at of nodes.positions) sent.positions.add(at);
      this.#sent.set(sid, sent);
    });
  }

  /** What the stage holds of all sessions so far. */
  async loseRows(stage: number): Promise<void> {
    for (const sid of this.#sent.keys()) await this.mesh.engines[stage]!.release(sid);
  }

  async ask(prompt: readonly number[], wishes: Partial<SessionRequest> = {}): Promise<Answer> {
    const request = { prompt: Uint32Array.from(prompt), sampling: GREEDY, maxTokens: 8, stopTokens: [] };
    let answer: Answer | undefined;
    const run = async () => {
      const session = await this.mesh.client.open({ ...request, ...wishes });
      const tokens: number[] = [];
      for await (const commit of session.commits) tokens.push(...commit.tokens);
      const end = await session.ended;
      const positions = this.#sent.get(session.id)?.positions ?? new Set();
      answer = { tokens, end, computed: [...positions].filter((at) => at < prompt.length).length };
    };
    const running = run();
    await this.world.play(() => answer !== undefined);
    await running;
    return answer!;
  }
}

interface Case {
  readonly options: ToyMeshOptions;
  readonly policy: string;
  readonly sampling: SamplingParams;
  readonly draw: (bound: number) => number;
}

function drawCase(seed: number): Case {
  const random = seededRandom(seed * 5309);
  const draw = (bound: number) => Math.floor(random() * bound);
  const sampling: SamplingParams = {
    ...GREEDY,
    temperature: draw(2) === 0 ? 0 : 0.5 + random(),
    repetitionPenalty: draw(2) === 0 ? 1 : 0.6 + random(),
    presencePenalty: draw(2) === 0 ? 0 : 4 * random() - 2,
    seed: draw(1e9),
  };
  const drafted = draw(4) === 0 ? {} : { draftSkill: random() };
  return {
    options: { stageCount: 1 + draw(5), ...drafted },
    policy: TOY_POLICIES[seed % TOY_POLICIES.length]!,
    sampling,
    draw,
  };
}

const tokensFrom = (draw: Case["draw"], count: number): number[] =>
  Array.from({ length: count }, () => draw(11));

/** A conversation, of which some turns go back to an earlier one, each answer checked against plain decoding. */
async function converse(
  seed: number,
  change: Partial<ToyMeshOptions>,
  between: (asked: Asked, turn: number) => Promise<void> | void = () => {},
) {
  const { options, policy, sampling, draw } = drawCase(seed);
  const asked = await Asked.start(seed, { ...options, ...change });
  const told: { cached: number; computed: number; prompt: number; before: number }[] = [];
  let history: number[] = [];
  let before = 0;
  for (let turn = 0; turn < TURNS; turn++) {
    await between(asked, turn);
    // Now and then the last answer is asked for anew, from somewhere in the middle.
    if (turn > 1 && draw(3) === 0) history = history.slice(0, 1 + draw(history.length));
    const prompt = [...history, ...tokensFrom(draw, 1 + draw(12))];
    const count = 1 + draw(12);
    const answer = await asked.ask(prompt, { policy, sampling, maxTokens: count });
    const expected = plainDecoding(prompt, sampling, { count, stopTokens: [] });
    expect({ seed, turn, tokens: answer.tokens }).toEqual({ seed, turn, tokens: expected });
    const { cachedTokens = Number.NaN } = answer.end.stats;
    told.push({
      cached: cachedTokens,
      computed: answer.computed,
      prompt: prompt.length,
      before: Math.min(before, history.length),
    });
    history = [...prompt, ...expected];
    before = prompt.length;
  }
  expect({ seed, wrong: asked.mesh.drafter.wrongRows }).toEqual({ seed, wrong: [] });
  await asked.world.stop();
  return { asked, told };
}

describe("turns of a conversation, in simulation", () => {
  test("compute only what is new, for every policy, and tell truly what that was", async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { told, asked } = await converse(seed, {});
      for (const { cached, computed, prompt, before } of told) {
        expect({ seed, computed }).toEqual({ seed, computed: prompt - cached });
        // The earlier prompt at least was there; of its last token the features are needed again.
        expect(cached).toBeGreaterThanOrEqual(before - 1);
      }
      expect({ seed, warnings: asked.world.warnings }).toEqual({ seed, warnings: [] });
    }
  });

  test("fall back on what all have when a stage has less memory than the others", async () => {
    let shorter = 0;
    for (let seed = 1; seed <= SEEDS / 2; seed++) {
      const poor = seed % drawCase(seed).options.stageCount;
      const kvRows = (stage: number) => (stage === poor ? 192 : 1e9);
      // Others use up the memory between the turns.
      const { told } = await converse(seed, { kvRows }, async (asked, turn) => {
        for (let other = 0; other < (turn === 2 ? 2 : 0); other++) {
          await asked.ask([other, 3, 1, 4, ...Array.from({ length: 60 }, () => 5)]);
        }
      });
      for (const { cached, computed, prompt, before } of told) {
        expect({ seed, computed }).toEqual({ seed, computed: prompt - cached });
        if (cached < before - 1) shorter++;
      }
    }
    expect(shorter).toBeGreaterThan(SEEDS / 4);
  });

  test("change no token when stages and drafter lose what they kept, unnoticed by the tree host", async () => {
    let fell = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { told } = await converse(seed, {}, async (asked, turn) => {
        if (turn === 2) await asked.loseRows(seed % asked.mesh.engines.length);
        if (turn === 3) asked.mesh.drafter.loseKept();
      });
      for (const { cached, computed, prompt, before } of told) {
        expect({ seed, computed }).toEqual({ seed, computed: prompt - cached });
        if (cached < before - 1) fell++;
      }
    }
    expect(fell).toBeGreaterThan(SEEDS);
  });

  test("change no token when messages are lost and doubled, and a stage starts anew", async () => {
    const loss = (subject: string) => (subject.includes(".session.") ? 0.01 : 0.02);
    const faults: Faults = { delayMs: 5, doubling: 0.02, loss };
    for (let seed = 1; seed <= SEEDS; seed++) {
      await converse(seed, {}, async (asked, turn) => {
        asked.world.faults = turn === 0 ? {} : faults;
        if (turn !== 2) return;
        const victim = seed % asked.mesh.engines.length;
        await asked.mesh.killStage(victim);
        await asked.mesh.startStage(victim);
      });
    }
  });
});

describe("conversations with a common beginning", () => {
  test("share it while one of them still runs, and afterwards", async () => {
    const beginning = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 9, 8, 7, 6];
    const asked = await Asked.start(7, { stageCount: 3, draftSkill: 0.8 });
    let longRunning = false;
    const long = asked.mesh.client.open({
      prompt: Uint32Array.from([...beginning, 1]),
      sampling: GREEDY,
      maxTokens: 200,
      stopTokens: [],
    });
    const first = long.then(async (session) => {
      for await (const _ of session.commits) longRunning = true;
    });
    await asked.world.play(() => longRunning);
    for (const last of [2, 3, 4]) {
      const prompt = [...beginning, last];
      const { tokens, end, computed } = await asked.ask(prompt);
      expect(tokens).toEqual(plainDecoding(prompt, GREEDY, { count: 8, stopTokens: [] }));
      expect([end.stats.cachedTokens, computed]).toEqual([beginning.length - 1, 2]);
    }
    (await long).cancel("seen enough");
    await asked.world.play(() => false, asked.world.now + 5000);
    await first;
    expect(asked.world.warnings).toEqual([]);
    await asked.world.stop();
  });

  test("a session without guesses leaves nothing for the drafter to build on", async () => {
    const prompt = [1, 2, 3, 4, 5, 6];
    const asked = await Asked.start(3, { stageCount: 2, draftSkill: 0.8 });
    await asked.ask(prompt, { drafter: "none" });
    expect((await asked.ask([...prompt, 7])).end.stats.cachedTokens).toBe(0);
    expect((await asked.ask([...prompt, 9], { drafter: "none" })).end.stats.cachedTokens).toBe(5);
    expect(asked.mesh.drafter.wrongRows).toEqual([]);
    await asked.world.stop();
  });
});
