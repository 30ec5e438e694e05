import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listActors } from "../../bench/mesh-inventory.ts";
import { type RunningMesh, startMesh } from "../../bench/running-mesh.ts";
import { connectNats } from "../../transport/nats.ts";
import type { Transport } from "../../transport/transport.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";
import { cancelledSessions, heldSessions, leave, load, openFilesOf } from "./load.ts";

/** The short form of load-script.ts. */
const MINUTES = 60_000;
const PROMPTS = ["What is a pipeline?", "Name three rivers."];

let folder = "";
let mesh: RunningMesh;
let nats: Transport;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-load-"));
  await writeTinyGguf(join(folder, "small.gguf"), { layers: 2, contextLength: 2048 });
  mesh = await startMesh("--stages", "2", "--model", join(folder, "small.gguf"), "--drafter", "ngram");
  nats = await connectNats({ url: mesh.natsUrl, name: "load" });
}, 2 * MINUTES);
afterAll(async () => {
  await nats.close();
  await mesh.stop();
  await rm(folder, { recursive: true });
});

const NOTHING = { drafter: 0, "stage-0": 0, "stage-1": 0, trees: 0 };

async function untilNothingIsHeld(): Promise<void> {
  const deadline = performance.now() + MINUTES / 2;
  while (performance.now() < deadline && !Bun.deepEquals(await heldSessions(nats), NOTHING))
    await Bun.sleep(200);
  expect(await heldSessions(nats)).toEqual(NOTHING);
}

test(
  "64 streams at once are all answered to their end, and nothing of them stays",
  async () => {
    const report = await load(mesh, { streams: 64, forMs: 5000, maxTokens: 16, prompts: PROMPTS });
    expect(report.failures).toEqual([]);
    expect(report.requests).toBeGreaterThanOrEqual(64);
    expect(report.tokens).toBeGreaterThan(report.requests);
    await untilNothingIsHeld();
  },
  3 * MINUTES,
);

test(
  "clients that leave at random points before the ends of their answers leave nothing behind",
  async () => {
    const pids = (await listActors(nats)).map(({ metadata }) => Number(metadata.pid));
    const filesBefore = pids.map(openFilesOf);
    const report = await leave(mesh, {
      ...{ count: 50, lanes: 16, prompts: PROMPTS, maxTokens: 256, piecesMax: 40, withinMs: 1000 },
    });
    expect(report).toMatchObject({ left: 50, failures: [] });
    // Who left before the session was open has cancelled none.
    expect(await cancelledSessions(mesh)).toBeGreaterThanOrEqual((report.left - report.leftUnheard) / 2);
    await untilNothingIsHeld();
    const grown = pids.map((pid, i) => openFilesOf(pid) - (filesBefore[i] ?? 0));
    // A connection that is being closed may still be there.
    expect(Math.max(...grown)).toBeLessThan(10);
  },
  3 * MINUTES,
);
