/** The machines that tests put hosts on. */
import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { descendants } from "../../bench/running-mesh.ts";
import { waitUntilGone } from "../actors/host/process-gone.ts";
import { type HostNetwork, openHostNetwork } from "./host-network.ts";

const MBPS = 80;
const BYTES = 2 ** 20;

const network: HostNetwork = await openHostNetwork({ delayMs: 0, mbps: MBPS });
afterAll(() => network.close());
const block = /198\.\d+\.\d+/.exec(network.description)?.[0];

test("says which kind of machines it has, and why not the other", () => {
  if (block === undefined) expect(network.description).toMatch(/loopback \(no network namespaces: .+\)/);
  else expect(network.description).toMatch(/namespaces, each with an address of its own .* (netem|tbf)/);
});

const GONE_MS = 20_000;

/** Of the machine's network devices, as it sees them itself. */
async function addresses(prefix: readonly string[]): Promise<string[]> {
  const listing = await new Response(Bun.spawn([...prefix, "ip", "-4", "-o", "address"]).stdout).text();
  return [...listing.matchAll(/inet ([\d.]+)\//g)].map(([, address]) => address ?? "");
}

describe.skipIf(block === undefined)("machines in network namespaces", () => {
  test("have an address of their own each, and a cable to this machine with the rate that was asked for", async () => {
    const hosts = [await network.open(), await network.open()];
    const own = await Promise.all(hosts.map(({ prefix }) => addresses(prefix)));
    expect(own.every((list) => list.length === 2 && list.includes("127.0.0.1"))).toBe(true);
    expect(new Set(own.flat()).size).toBe(3);

    const centre = network.upArguments[network.upArguments.indexOf("--nats-host") + 1] ?? "";
    const server = Bun.serve({ hostname: centre, port: 0, fetch: () => new Response(Buffer.alloc(BYTES)) });
    try {
      const download = `const t = performance.now(); const b = await (await fetch("${server.url}")).bytes(); console.log(b.length, performance.now() - t)`;
      const child = Bun.spawn([...(hosts[0]?.prefix ?? []), process.execPath, "-e", download]);
      const [bytes, ms] = (await new Response(child.stdout).text()).split(" ").map(Number);
      expect(bytes).toBe(BYTES);
      expect(ms).toBeGreaterThan((BYTES * 8) / (MBPS * 1000));
    } finally {
      await server.stop(true);
    }
  });

  test("leave nothing behind when their owner is killed", async () => {
    const script = join(import.meta.dir, "host-network-script.ts");
    const owner = Bun.spawn([process.execPath, script], { stdout: "pipe", stderr: "ignore" });
    const { value } = await owner.stdout.getReader().read();
    const theirs = /198\.\d+\.\d+/.exec(new TextDecoder().decode(value))?.[0] ?? "none";
    expect(theirs).not.toBe(block ?? "");
    const left = async () =>
      (await addresses([])).filter((address) => address.startsWith(`${theirs}.`)).length;
    expect(await left()).toBe(3);
    const inside = await descendants(owner.pid);
    expect(inside.length).toBeGreaterThanOrEqual(5);
    owner.kill("SIGKILL");
    await waitUntilGone(inside);
    // The kernel takes its time with network devices.
    const deadlineMs = performance.now() + GONE_MS;
    while ((await left()) > 0 && performance.now() < deadlineMs) await Bun.sleep(50);
    expect(await left()).toBe(0);
  });
});
