import { expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../actors/runtime/clock.ts";

const CLOCK = join(import.meta.dir, "../../../actors/runtime/clock.ts");

const elapse = (ms: number) => new Promise<void>((resolve) => void systemClock.setTimer(ms, resolve));

/** What a process of its own prints that has nothing but timers to live for. */
async function outputOf(body: string): Promise<string> {
  const script = `import { systemClock } from ${JSON.stringify(CLOCK)};\n${body}`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "pipe" });
  await child.exited;
  return (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
}

test("no timer is early, be it short or long", async () => {
  for (const ms of [0, 0.1, 0.7, 1.5, 2.4, 3.2, 9.9, 24.6]) {
    const begun = systemClock.now();
    await elapse(ms);
    expect(systemClock.now() - begun).toBeGreaterThanOrEqual(ms);
  }
});

test("a timer never calls back before setTimer returns, and only once", async () => {
  let calls = 0;
  systemClock.setTimer(-1, () => calls++);
  systemClock.setTimer(0.5, () => calls++);
  expect(calls).toBe(0);
  await elapse(30);
  expect(calls).toBe(2);
});

test("a cancelled timer stays silent, however soon it was due", async () => {
  let calls = 0;
  for (const ms of [0, 0.3, 1.5, 5]) systemClock.setTimer(ms, () => calls++)();
  // One that has begun to wait finely. On a busy machine this comes too late to cancel it: then it is tried again.
  for (let wasInTime = false; !wasInTime; ) {
    let fired = false;
    const cancel = systemClock.setTimer(4, () => (fired = true));
    await elapse(3);
    wasInTime = !fired;
    cancel();
    if (wasInTime) await elapse(20);
    expect(fired).toBe(!wasInTime);
  }
  expect(calls).toBe(0);
});

test("a process lives as long as a timer is set, and not for cancelled ones", async () => {
  const output = await outputOf(`
    for (const ms of [600_000, 1]) systemClock.setTimer(ms, () => console.log("cancelled"))();
    for (const ms of [1.5, 12]) systemClock.setTimer(ms, () => console.log("fired", ms));
  `);
  expect(output).toBe("fired 1.5\nfired 12\n");
});

test("what a callback throws ends the process, as with any timer", async () => {
  const output = await outputOf(`
    process.on("uncaughtException", ({ message }) => console.log("uncaught", message));
    for (const ms of [0, 1, 5]) systemClock.setTimer(ms, () => { throw new Error("fault " + ms); });
  `);
  expect(output).toBe("uncaught fault 0\nuncaught fault 1\nuncaught fault 5\n");
});
