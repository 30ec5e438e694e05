import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startMesh } from "../../bench/running-mesh.ts";
import { writeTinyGguf } from "../tiny-gguf.ts";

const TIMEOUT_MS = 120_000;

test(
  "a mesh answers without a word of its nats-server about permissions",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "flowmesh-up-permissions-"));
    const model = join(folder, "tiny.gguf");
    await writeTinyGguf(model, { layers: 4 });
    const mesh = await startMesh(
      ...["--stages", "2", "--model", model, "--drafter", "ngram", "--nats-token", "open-sesame"],
    );
    const response = await fetch(`${mesh.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "tiny", prompt: "hello hello hello", max_tokens: 12, temperature: 0 }),
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ usage: { completion_tokens: 12 } });
    expect(await mesh.stop()).toBe(0);
    // nats-server calls them errors, and up shows those.
    expect(mesh.output()).toContain("flowmesh is ready");
    expect(mesh.output()).not.toMatch(/violation|warn|error/i);
    await rm(folder, { recursive: true });
  },
  TIMEOUT_MS,
);
