import { expect, test } from "bun:test";
import { KEYS, type PlacementRecord } from "../../actors/mesh/records.ts";
import { SimMesh } from "./hosts.ts";
import { World } from "./world.ts";

/** Longer than it takes the speeds to change. */
const LOAD_MS = 4000;

async function placementOf(mesh: SimMesh): Promise<PlacementRecord | undefined> {
  const entry = await mesh.store.get(KEYS.placement);
  return entry && JSON.parse(new TextDecoder().decode(entry.value));
}

test("a mesh whose hosts measure something else each second gets a placement, and another when a host dies", async () => {
  for (const seed of [1, 2, 3]) {
    const world = new World(seed, { delayMs: 4 });
    const mesh = new SimMesh(world, 0.7);
    mesh.applyFaults({ delayMs: 4 });
    mesh.loadMs = LOAD_MS;
    const changing = {
      get layerMs() {
        return [{ nodes: 1, ms: 1 + 4 * world.random() }];
      },
    };
    for (const name of ["h0", "h1", "h2"]) void mesh.startHost(name, changing);
    const inForce = async (after: number): Promise<PlacementRecord | undefined> => {
      for (let second = 0; second < 30; second++) {
        await world.play(() => false, world.now + 1000);
        const placement = await placementOf(mesh);
        if (placement !== undefined && placement.epoch > after) return placement;
      }
      return placementOf(mesh);
    };
    const first = await inForce(0);
    expect({ seed, epoch: first?.epoch }).toEqual({ seed, epoch: 1 });
    const victim = first?.plan?.stages[0]?.host ?? "";
    mesh.hosts.get(victim)?.kill();
    const second = await inForce(1);
    expect({ seed, epoch: second?.epoch }).toEqual({ seed, epoch: 2 });
    expect(second?.plan?.stages.map(({ host }) => host)).not.toContain(victim);
    for (const host of mesh.hosts.values()) host.kill();
    await world.stop();
  }
});
