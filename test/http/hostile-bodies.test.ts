import { expect, test } from "bun:test";
import fc from "fast-check";
import { hostileRequest } from "./hostile-bodies.ts";
import { ServedGateway } from "./served-gateway.ts";

/** FLOWMESH_FUZZ=20000 sends that many; a failure names the seed, FLOWMESH_FUZZ_SEED=that sends the same again. */
const RUNS = Number(process.env.FLOWMESH_FUZZ ?? "300");
const seed = process.env.FLOWMESH_FUZZ_SEED;
/** Well beyond what an answer of four tokens takes on a loaded machine. */
const HANG_MS = 20_000;

test(
  "no body makes the gateway fail or hang",
  async () => {
    await using gateway = new ServedGateway({ commits: [[65], [66, 67], [68]] });
    const statuses = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(hostileRequest, async ({ path, body }) => {
        gateway.log.records.length = 0;
        const response = await fetch(`${gateway.url}${path}`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body,
          signal: AbortSignal.timeout(HANG_MS),
        });
        const text = await response.text();
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
        const logged = gateway.log.records.find(({ level }) => level === "error");
        expect({ status: response.status < 500, logged }).toEqual({ status: true, logged: undefined });
        expect(text).not.toContain("server_error");
        if (response.status >= 400) expect(typeof JSON.parse(text).error.message).toBe("string");
      }),
      { numRuns: RUNS, ...(seed !== undefined && { seed: Number(seed) }) },
    );
    // Otherwise it is the first check alone that was tried.
    expect(statuses.get(200)).toBeGreaterThan(0);
    expect(statuses.get(400)).toBeGreaterThan(0);
    if (process.env.FLOWMESH_FUZZ) console.info("hostile bodies, by status:", Object.fromEntries(statuses));
  },
  { timeout: 60_000 + RUNS * 100 },
);
