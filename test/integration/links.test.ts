import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { compareLinks } from "../../bench/mesh-cost/link-agreement.ts";
import { NetworkUnavailableError } from "../../bench/mesh-cost/network-namespace.ts";
import { openNetworkPair } from "../../bench/mesh-cost/network-pair.ts";
import { waitUntilGone } from "../actors/host/process-gone.ts";
import { natsServerPath } from "../nats-server-path.ts";

const LINK = { delayMs: 1, mbps: 150 };

const pair = await openNetworkPair(LINK).catch((error: unknown) => {
  if (error instanceof NetworkUnavailableError) return error;
  throw error;
});
const missing = pair instanceof NetworkUnavailableError ? pair : undefined;
if (missing !== undefined)
  console.warn(`skipping tests of links between network namespaces: ${missing.message}`);
afterAll(async () => {
  if (!(pair instanceof Error)) await pair.close();
});

describe.skipIf(missing !== undefined)("links between network namespaces", () => {
  test("the transport's shaped link takes as long as the kernel's", async () => {
    if (pair instanceof Error) throw pair;
    const natsServer = await natsServerPath();
    const plan = { sizes: [1, 16, 64], bursts: [1, 4], width: 576, rounds: 30, natsServer };
    const agreement = await compareLinks(pair, plan);
    expect(agreement.filter(({ agrees }) => !agrees)).toEqual([]);
    // So that two links that are both not there can't agree.
    const { kernelMs } = agreement.find(({ nodes, burst }) => nodes === 64 && burst === 4) ?? { kernelMs: 0 };
    const rateMs = (4 * 64 * 576 * 4 * 8) / (LINK.mbps * 1000);
    expect(kernelMs).toBeGreaterThan(rateMs);
  });

  test("nothing is left of them when their owner is killed", async () => {
    const script = join(import.meta.dir, "network-pair-script.ts");
    const owner = Bun.spawn([process.execPath, script], { stdout: "pipe", stderr: "inherit" });
    const { value } = await owner.stdout.getReader().read();
    const pids = new TextDecoder().decode(value).trim().split(" ").map(Number);
    expect(pids).toHaveLength(2);
    owner.kill("SIGKILL");
    await waitUntilGone(pids);
  });
});
