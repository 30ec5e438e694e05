import { expect, test } from "bun:test";
import { KEYS, type PlacementRecord } from "../../actors/mesh/records.ts";
import { SessionClient } from "../../actors/session-client.ts";
import type { SessionEnd } from "../../actors/session-port.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { MESH, SimMesh } from "./hosts.ts";
import { plainDecoding } from "./toy-model.ts";
import { World } from "./world.ts";

const COUNT = 150;

test("a drafter that fails for good is placed elsewhere, then done without, and tried again later; streams go on", async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const world = new World(seed, { delayMs: 4 });
    const mesh = new SimMesh(world, 0.7);
    mesh.applyFaults({ delayMs: 4 });
    let joined = 0;
    for (const name of ["h0", "h1"]) {
      mesh.startHost(name, { control: name === "h0" }).then(
        () => joined++,
        () => {},
      );
    }
    const transport = world.mesh.connect("gateway");
    const client = new SessionClient({ mesh: MESH, transport, clock: world.clock });
    await world.play(() => joined === 2 && client.status().ready, 120_000);

    let epochs = 0;
    const placement = async (): Promise<PlacementRecord> =>
      JSON.parse(new TextDecoder().decode((await mesh.store.get(KEYS.placement))?.value));
    const drafterAt = async () => (await placement()).plan?.drafter;
    /** Plays until the drafter is there, with a stream that runs meanwhile. */
    const streamUntil = async (host: string | undefined) => {
      const prompt = [seed, ++epochs, 3];
      const tokens: number[] = [];
      let end: SessionEnd | undefined;
      const request = {
        prompt: Uint32Array.from(prompt),
        sampling: GREEDY,
        maxTokens: COUNT,
        stopTokens: [],
      };
      client.open({ ...request, policy: "fullflow" }).then(
        async (session) => {
          for await (const commit of session.commits) tokens.push(...commit.tokens);
          end = await session.ended;
        },
        (error: unknown) => {
          throw error;
        },
      );
      let at: string | undefined = "unknown";
      for (let i = 0; i < 100 && !(end !== undefined && at === host); i++) {
        await world.play(() => false, world.now + 1000);
        at = await drafterAt();
      }
      expect({ seed, at, reason: end?.reason, tokens }).toEqual({
        seed,
        at: host,
        reason: "length",
        tokens: plainDecoding(prompt, GREEDY, { count: COUNT, stopTokens: [] }),
      });
      return end?.stats;
    };
    const fail = (name: string) => {
      const drafter = [...(mesh.hosts.get(name)?.units ?? [])].find(({ unit }) => unit.role === "drafter");
      expect({ seed, name, drafter: drafter !== undefined }).toEqual({ seed, name, drafter: true });
      drafter?.giveUp("its weights are damaged");
    };

    await streamUntil("h0");
    fail("h0");
    await streamUntil("h1");
    expect((await placement()).plan?.stages.map(({ host }) => host).toSorted()).toEqual(["h0", "h1"]);
    fail("h1");
    await streamUntil(undefined);
    const stats = await streamUntil("h0");
    expect(stats?.completionTokens).toBe(COUNT);
    expect(mesh.violations).toEqual([]);
    for (const host of mesh.hosts.values()) host.kill();
    await world.stop();
  }
});
