import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { type RunningMesh, startMesh } from "../../bench/running-mesh.ts";
import { snapshotSchema } from "../../cli/top-snapshot.ts";
import { runFlowmesh } from "../flowmesh-command.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";

const TIMEOUT_MS = 120_000;
const MIB = 2 ** 20;
const KV_MEMORY = 3 * MIB;
const STAGES = 2;
/** Keys and values of one layer of the small model: 2 · 2 heads · 16 floats of 4 bytes. */
const LAYER_ROW_BYTES = 256;

let folder: string;
let mesh: RunningMesh;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-kv-memory-"));
  const model = join(folder, "tiny.gguf");
  await writeTinyGguf(model, { layers: 3, contextLength: 8192 });
  mesh = await startMesh(
    ...["--stages", String(STAGES), "--model", model, "--drafter", "none", "--kv-memory", "3MB"],
  );
}, TIMEOUT_MS);
afterAll(async () => {
  await mesh?.stop();
  await rm(folder, { recursive: true });
});

const ask = (prompt: string) =>
  fetch(`${mesh.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "default", prompt, max_tokens: 2, temperature: 0 }),
  });

test(
  "up --kv-memory is shared among the stages, each of which tells how many tokens that is for it",
  async () => {
    const { output } = await runFlowmesh(["top", "--json", "--nats", mesh.natsUrl, "--mesh", mesh.mesh]);
    const { actors, hosts } = v.parse(snapshotSchema, JSON.parse(output));
    const stages = actors.filter(({ role }) => role === "stage");
    expect(stages).toHaveLength(STAGES);
    for (const { kvTokens, layers: [first, end] = [0, 0] } of stages) {
      expect(kvTokens).toBe(Math.floor(KV_MEMORY / STAGES / (LAYER_ROW_BYTES * (end - first))));
    }
    // The rest is for weights.
    expect(hosts[0]?.memoryBytes).toBe(totalmem() - KV_MEMORY);
  },
  TIMEOUT_MS,
);

test(
  "a request that needs more than that ends with an error, and others go on",
  async () => {
    const fits = await ask("a ".repeat(500));
    expect(fits.status).toBe(200);
    const tooLong = await ask("a ".repeat(3600));
    expect(tooLong.status).toBe(500);
    const message = new RegExp(`would need \\d+ bytes, more than the ${KV_MEMORY / STAGES} allowed`);
    expect(await tooLong.json()).toMatchObject({
      error: { code: "generation_failed", message: expect.stringMatching(message) },
    });
    expect((await ask("hello")).status).toBe(200);
  },
  TIMEOUT_MS,
);

test.each([
  ["0", "argument '0' is invalid. It must be a size like 512MB or 2GB."],
  ["12", "argument '12' is invalid. It must be a size like 512MB or 2GB."],
  ["-3MB", "argument '-3MB' is invalid. It must be a size like 512MB or 2GB."],
  ["lots", "argument 'lots' is invalid. It must be a size like 512MB or 2GB."],
  ["1000TB", "is 1024000.0 GiB; this machine has"],
])("up --kv-memory %s is refused and starts nothing", async (value, says) => {
  const { code, output, errors } = await runFlowmesh(["up", "--kv-memory", value]);
  expect({ code, output }).toEqual({ code: 2, output: "" });
  expect(errors).toContain(`option '--kv-memory <size>' ${says}`);
  expect(errors.trim().split("\n")).toHaveLength(1);
});
