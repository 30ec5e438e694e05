import { expect, test } from "bun:test";
import { KEYS, type PlacementRecord } from "../../actors/mesh/records.ts";
import { SessionClient } from "../../actors/session-client.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { MESH, SimMesh } from "./hosts.ts";
import { plainDecoding } from "./toy-model.ts";
import { World } from "./world.ts";

const SECOND = 1000;
const PROMPT = [3, 1, 4];
const TOKENS = 60;
/** So long that few tokens are decoded in a second of the simulation, which has minutes. */
const DELAY_MS = 100;

test("slow hosts are used while many ask, and not for one request alone", async () => {
  const world = new World(5, { delayMs: DELAY_MS });
  const mesh = new SimMesh(world, 0.7);
  mesh.sessionsLeast = 1;
  mesh.applyFaults({ delayMs: DELAY_MS });
  const layerTakes = (ms: number) => ({ layerMs: [{ nodes: 1, ms }] });
  for (const [name, ms] of [
    ["quick", 4],
    ["slow", 9],
  ] as const) {
    void mesh.startHost(name, { ...layerTakes(ms), control: name === "quick" });
  }
  const client = new SessionClient({
    mesh: MESH,
    transport: world.mesh.connect("gateway"),
    clock: world.clock,
  });
  const expected = plainDecoding(PROMPT, GREEDY, { count: TOKENS, stopTokens: [] });
  const wrong: (readonly number[])[] = [];
  let lanes = 0;
  const ask = async (lane: number): Promise<void> => {
    while (lane < lanes) {
      const request = {
        prompt: Uint32Array.from(PROMPT),
        sampling: GREEDY,
        maxTokens: TOKENS,
        stopTokens: [],
      };
      const session = await client.open({ ...request, policy: "autoregressive" });
      const tokens: number[] = [];
      for await (const commit of session.commits) tokens.push(...commit.tokens);
      if (tokens.join() !== expected.join()) wrong.push(tokens);
    }
  };
  const askAtOnce = (count: number) => {
    const running = lanes;
    lanes = count;
    for (let lane = running; lane < count; lane++) void ask(lane);
  };
  const usedHosts = async () => {
    const entry = await mesh.store.get(KEYS.placement);
    const record: PlacementRecord = JSON.parse(new TextDecoder().decode(entry?.value));
    return record.plan?.stages.map(({ host }) => host).toSorted();
  };
  const usedWithin = async (seconds: number, hosts: string) => {
    for (let second = 0; second < seconds; second++) {
      await world.play(() => false, world.now + SECOND);
      if ((await usedHosts())?.join() === hosts) return;
    }
    expect(await usedHosts()).toEqual(hosts.split(","));
  };

  expect(await world.play(() => client.status().ready, 60 * SECOND)).toBe(true);
  await usedWithin(60, "quick");
  askAtOnce(1);
  for (let second = 0; second < 20; second++) {
    await world.play(() => false, world.now + SECOND);
    expect(await usedHosts()).toEqual(["quick"]);
  }
  askAtOnce(4);
  await usedWithin(120, "quick,slow");
  askAtOnce(1);
  await usedWithin(300, "quick");
  askAtOnce(0);
  await world.play(() => false, world.now + 10 * SECOND);
  expect(wrong).toEqual([]);
  for (const host of mesh.hosts.values()) host.kill();
  client.close();
  await world.stop();
}, 600_000);
