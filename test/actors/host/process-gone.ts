const DEADLINE_MS = 10_000;

/** False also for one that has ended and only waits for init to collect its exit code. */
export function isAlive(pid: number): boolean {
  const { stdout } = Bun.spawnSync(["ps", "-o", "stat=", "-p", String(pid)]);
  const state = stdout.toString().trim();
  return state !== "" && !state.startsWith("Z");
}

/** Waits until all of these processes are gone; rejects when one stays. */
export async function waitUntilGone(pids: readonly number[]): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (pids.some(isAlive)) {
    if (performance.now() > deadline) throw new Error(`still running: ${pids.filter(isAlive).join(", ")}`);
    await Bun.sleep(10);
  }
}
