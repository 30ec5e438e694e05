import { expect } from "bun:test";
import { activeSessions } from "./gateway-metrics.ts";

const PATIENCE_MS = 60_000;

/** Waits until the gateway has no session any more. `url`: its root. */
export async function untilIdle(url: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while ((await activeSessions(url)) > 0 && performance.now() < deadline) await Bun.sleep(20);
  expect(await activeSessions(url)).toBe(0);
}
