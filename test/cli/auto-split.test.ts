import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningMesh, startMeshIn } from "../../bench/running-mesh.ts";
import { connectNats } from "../../transport/nats.ts";
import { listBuckets } from "../../transport/nats-key-value.ts";
import { natsServerPath } from "../nats-server-path.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";

const TIMEOUT_MS = 300_000;
let folder = "";
let mesh: RunningMesh | undefined;

/** A cache of its own, so that nothing is remembered from before. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-auto-"));
  await writeTinyGguf(join(folder, "tiny.gguf"), { layers: 4 });
  await mkdir(join(folder, "bin"));
  await symlink(await natsServerPath(), join(folder, "bin", "nats-server"));
});
afterAll(async () => {
  await mesh?.stop();
  await rm(folder, { recursive: true });
});

async function upAuto(): Promise<RunningMesh> {
  const path = `${join(folder, "bin")}:${process.env.PATH}`;
  const env = { ...process.env, PATH: path, FLOWMESH_HOME: join(folder, "home") };
  const args = ["--stages", "auto", "--model", join(folder, "tiny.gguf"), "--drafter", "ngram"];
  mesh = await startMeshIn(env, ...args);
  return mesh;
}

test(
  "up --stages auto finds out by trial which split is fastest on this machine, and remembers it",
  async () => {
    const first = await upAuto();
    const [, stages = "", threads = "", how = ""] =
      /split: (\d+) × (\d+) \(stages × threads; (.*)\)/.exec(first.output()) ?? [];
    const tried = [...how.matchAll(/(\d+) × (\d+): ([\d.]+) tokens/g)];
    const rates = tried.map(([, , , rate]) => Number(rate));
    expect(tried.length).toBeGreaterThan(0);
    expect(Math.min(...rates)).toBeGreaterThan(0);
    // Rates are rounded, so that two splits can seem as fast as each other.
    const fastest = tried.filter((_, index) => rates[index] === Math.max(...rates));
    expect(fastest.map(([, ...split]) => split.slice(0, 2))).toContainEqual([stages, threads]);
    expect(first.output()).toContain(` in ${stages} stage`);
    const nats = await connectNats({ url: first.natsUrl, name: "test" });
    expect(await listBuckets(nats)).toEqual([`flow_${first.mesh}`]);
    await nats.close();
    expect(await first.stop()).toBe(0);
    const second = await upAuto();
    expect(second.output()).toContain(`split: ${stages} × ${threads} (stages × threads; as found before)`);
  },
  TIMEOUT_MS,
);
