import { expect } from "bun:test";

const PATIENCE_MS = 60_000;

/** Waits until the gateway has no session any more. `url`: its root. */
export async function untilIdle(url: string): Promise<void> {
  const active = async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^flowmesh_sessions_active (\d+)$/m.exec(text)?.[1]);
  };
  const deadline = performance.now() + PATIENCE_MS;
  while ((await active()) > 0 && performance.now() < deadline) await Bun.sleep(20);
  expect(await active()).toBe(0);
}
