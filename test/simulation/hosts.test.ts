import { describe, expect, test } from "bun:test";
import { SessionClient } from "../../actors/session-client.ts";
import type { Session, SessionEnd } from "../../actors/session-port.ts";
import type { PositionLogprobs } from "../../decoding/log-probs.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { roundedLogprobs } from "../decoding/naive-logprobs.ts";
import { MESH, SimMesh } from "./hosts.ts";
import { TOY_POLICIES } from "./toy-mesh.ts";
import { plainDecoding, plainLogprobs } from "./toy-model.ts";
import { seededRandom, World } from "./world.ts";

/** FLOWMESH_SEEDS=10000 plays that many; FLOWMESH_SEED=n replays one, FLOWMESH_SEED=501-1000 these. */
const SEEDS = process.env.FLOWMESH_SEEDS ?? "200";
const [first = 1, last = first] = (process.env.FLOWMESH_SEED ?? `1-${SEEDS}`).split("-").map(Number);
const seeds = Array.from({ length: last - first + 1 }, (_, i) => first + i);
const MINUTES = 60_000;
const SESSIONS = 2;

interface Run {
  readonly tokens: number[];
  /** One for each of the tokens. */
  readonly logprobs: PositionLogprobs[];
  readonly prompt: readonly number[];
  readonly expected: readonly number[];
  end: SessionEnd | undefined;
}

/** Gives the sessions that ended with an error, in words. */
async function play(seed: number): Promise<string[]> {
  const random = seededRandom(seed * 7919);
  const draw = (bound: number) => Math.floor(random() * bound);
  const world = new World(seed, { delayMs: 4 });
  const mesh = new SimMesh(world, random());
  mesh.applyFaults({ delayMs: 4 });
  const hostCount = 2 + draw(3);
  const names = Array.from({ length: hostCount }, (_, i) => `h${i}`);
  let joined = 0;
  for (const [i, name] of names.entries()) {
    mesh.startHost(name, { control: i === 0, slots: 1 + draw(2) }).then(
      () => joined++,
      () => {},
    );
  }
  const client = new SessionClient({
    mesh: MESH,
    transport: world.mesh.connect("gateway"),
    clock: world.clock,
  });
  await world.play(() => joined === hostCount && client.status().ready, 120_000);
  expect({ seed, ready: client.status().ready }).toEqual({ seed, ready: true });

  const runs: Run[] = [];
  let opened = 0;
  for (let i = 0; i < SESSIONS; i++) {
    const prompt = Array.from({ length: 1 + draw(9) }, () => draw(11));
    const sampling = { ...GREEDY, temperature: draw(2), seed: draw(1e9) };
    const count = 20 + draw(60);
    const expected = plainDecoding(prompt, sampling, { count, stopTokens: [] });
    const run: Run = { tokens: [], logprobs: [], prompt, expected, end: undefined };
    runs.push(run);
    const policy = TOY_POLICIES[(seed + i) % TOY_POLICIES.length]!;
    const request = {
      prompt: Uint32Array.from(prompt),
      sampling,
      maxTokens: count,
      stopTokens: [],
      policy,
      topLogprobs: 1,
    };
    const listen = async (session: Session) => {
      opened++;
      for await (const { tokens, logprobs = [] } of session.commits) {
        run.tokens.push(...tokens);
        run.logprobs.push(...logprobs);
      }
      run.end = await session.ended;
    };
    client.open(request).then(listen, (error: unknown) => {
      opened++;
      run.end = { reason: "error", message: String(error), stats: { ...NO_STATS, cachedTokens: undefined } };
    });
  }
  await world.play(() => opened === SESSIONS, world.now + 60_000);
  mesh.applyFaults({
    delayMs: 8,
    doubling: 0.02,
    loss: (subject) => (subject.includes(".session.") ? 0.01 : 0.02),
  });
  const faults = await disturb(mesh, draw);
  const finished = await world.play(() => runs.every(({ end }) => end !== undefined), world.now + 600_000);
  for (const { tokens, logprobs, prompt, expected, end } of runs) {
    const whole = end?.reason === "length";
    const right = whole ? expected : expected.slice(0, tokens.length);
    expect({ seed, faults, finished, tokens }).toEqual({ seed, faults, finished: true, tokens: [...right] });
    const told = plainLogprobs(prompt, tokens, 1).map(roundedLogprobs);
    expect({ seed, faults, logprobs: logprobs.map(roundedLogprobs) }).toEqual({
      seed,
      faults,
      logprobs: told,
    });
    expect({ seed, reason: end?.reason }).toEqual({ seed, reason: whole ? "length" : "error" });
  }
  expect({ seed, faults, violations: mesh.violations }).toEqual({ seed, faults, violations: [] });
  for (const host of mesh.hosts.values()) host.kill();
  return runs.flatMap(({ end }) =>
    end?.reason === "error" ? [`seed ${seed}: ${faults.join(", ")}: ${end.message}`] : [],
  );
}

const NO_STATS = {
  promptTokens: 0,
  completionTokens: 0,
  commits: 0,
  draftTokens: 0,
  acceptedTokens: 0,
  segments: 0,
  misses: 0,
};

/** Faults, a host that joins, and one that is drained. */
const DISTURBANCES = ["crash", "cut", "pause", "kill", "join", "drain"] as const;

/** One to three disturbances, one after the other; each of them ends, and one host at least is never touched. */
async function disturb(mesh: SimMesh, draw: (bound: number) => number): Promise<string[]> {
  const { world } = mesh;
  const told: string[] = [];
  const victims = [...mesh.hosts.values()].slice(0, -1);
  const wait = (ms: number) => {
    const untilMs = world.now + ms;
    let over = false;
    world.clock.setTimer(ms, () => {
      over = true;
    });
    return world.play(() => over, untilMs + 1);
  };
  for (let i = 0; i <= draw(3); i++) {
    await wait(5 + draw(150));
    const host = victims[draw(victims.length)]!;
    const kind = DISTURBANCES[draw(DISTURBANCES.length)]!;
    const ms = 500 + draw(9000);
    told.push(`${kind} ${host.name} ${ms}`);
    if (kind === "join") void mesh.startHost(`late${i}`, { slots: 1 + draw(2) });
    else if (host.dead) continue;
    else if (kind === "drain") void host.agent?.drain();
    else if (kind === "crash") [...host.units][draw(Math.max(1, host.units.size))]?.crash();
    else if (kind === "kill") host.kill();
    else if (kind === "cut") {
      host.cut = true;
      await wait(ms);
      host.cut = false;
    } else {
      host.paused = true;
      await wait(ms);
      host.resume();
    }
  }
  return told;
}

describe("hosts that crash, are cut off, paused and killed, in simulation", () => {
  test(
    "give each token of an undisturbed stream once and in order, or say that they can't",
    async () => {
      const failed: string[] = [];
      for (const seed of seeds) failed.push(...(await play(seed)));
      // Room is always left, so there is no excuse.
      expect(failed).toEqual([]);
    },
    60 * MINUTES,
  );
});
