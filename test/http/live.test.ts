import { describe, expect, test } from "bun:test";
import { type LiveEvent, LiveLimitError, type LivePort, type LiveWatcher } from "../../actors/live-port.ts";
import { eventData } from "../../http/event-data.ts";
import { BATCH_MS, LiveBatches, WAITING_MAX } from "../../http/live-batches.ts";
import { SimulatedClock, settle } from "../simulated-clock.ts";
import { bytes } from "./byte-text.ts";
import { ServedGateway } from "./served-gateway.ts";

const NAME = "a-name-of-this-test";

const ended = (session: string): LiveEvent => ({ type: "ended", session, atMs: 1, reason: "stop" });

/** A feed that tells what the test tells it to. */
class ScriptedFeed implements LivePort {
  readonly watchers = new Map<string, LiveWatcher>();
  refuses = false;

  watch(name: string, watcher: LiveWatcher) {
    if (this.refuses) throw new LiveLimitError("64 watch already");
    this.watchers.set(name, watcher);
    return { stop: () => void this.watchers.delete(name) };
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!condition() && performance.now() < deadline) await Bun.sleep(5);
  expect(condition()).toBe(true);
}

describe("GET /live", () => {
  test("streams arrays of events until the client leaves", async () => {
    const live = new ScriptedFeed();
    await using gateway = new ServedGateway(undefined, { live });
    const leaving = new AbortController();
    const response = await fetch(`${gateway.url}/live?name=${NAME}`, { signal: leaving.signal });
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    live.watchers.get(NAME)?.tell(ended("s1"));
    live.watchers.get(NAME)?.tell(ended("s2"));
    const reader = eventData(response.body!);
    expect((await reader.next()).value).toBe("[]");
    expect((await reader.next()).value).toBe(JSON.stringify([ended("s1"), ended("s2")]));
    leaving.abort();
    await until(() => live.watchers.size === 0);
  });

  test("ends when the gateway stops", async () => {
    const live = new ScriptedFeed();
    await using gateway = new ServedGateway(undefined, { live });
    const response = await fetch(`${gateway.url}/live?name=${NAME}`);
    live.watchers.get(NAME)?.tell(ended("s1"));
    live.watchers.get(NAME)?.end();
    expect(await response.text()).toBe(`data: []\n\ndata: ${JSON.stringify([ended("s1")])}\n\n`);
    await until(() => live.watchers.size === 0);
  });

  test.each([
    ["", 400],
    ["?name=short", 400],
    ["?name=not%20a%20name%20of%20letters", 400],
  ])("refuses a name that could be guessed: %s", async (query, status) => {
    await using gateway = new ServedGateway();
    const response = await fetch(`${gateway.url}/live${query}`);
    expect(response.status).toBe(status);
    const { error } = (await response.json()) as { error: { param: string; message: string } };
    expect(error.param).toBe("name");
    expect(error.message).toContain("16 to 64 letters");
  });

  test("asks to come back later when too many watch", async () => {
    const live = new ScriptedFeed();
    live.refuses = true;
    await using gateway = new ServedGateway(undefined, { live });
    const response = await fetch(`${gateway.url}/live?name=${NAME}`);
    expect(response.status).toBe(503);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
  });
});

describe("flowmesh.live of a request", () => {
  const ask = { messages: [{ role: "user", content: "hi" }] };

  test("names the session, and is no part of it when absent", async () => {
    await using gateway = new ServedGateway({ commits: [bytes("ok")] });
    await gateway.post("/v1/chat/completions", { ...ask, flowmesh: { live: NAME } });
    await gateway.post("/v1/chat/completions", ask);
    const [named, plain] = gateway.sessions.opened.map(({ request }) => request);
    expect(named?.live).toBe(NAME);
    expect(plain !== undefined && "live" in plain).toBe(false);
  });

  test("must be one that nobody guesses", async () => {
    await using gateway = new ServedGateway();
    const response = await gateway.post("/v1/chat/completions", { ...ask, flowmesh: { live: "me" } });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: "flowmesh.live" } });
    expect(gateway.sessions.opened).toHaveLength(0);
  });
});

describe("batches", () => {
  test("hold what comes within a frame's time, and drop the oldest of too many, saying how many", async () => {
    const clock = new SimulatedClock();
    const batches = new LiveBatches(clock);
    const reader = batches[Symbol.asyncIterator]();
    const first = reader.next();
    batches.push(ended("a"));
    await clock.advance(BATCH_MS - 1);
    batches.push(ended("b"));
    await clock.advance(1);
    expect(JSON.parse((await first).value)).toEqual([ended("a"), ended("b")]);
    // The reader is away.
    for (let i = 0; i < WAITING_MAX + 5; i++) batches.push(ended(`s${i}`));
    const second = reader.next();
    await clock.advance(BATCH_MS);
    const batch = JSON.parse((await second).value);
    expect(batch).toHaveLength(WAITING_MAX + 1);
    expect(batch.slice(0, 2)).toEqual([{ type: "skipped", events: 5 }, ended("s5")]);
    batches.push(ended("last"));
    batches.end();
    batches.push(ended("too late"));
    const third = reader.next();
    await settle();
    expect(JSON.parse((await third).value)).toEqual([ended("last")]);
    expect((await reader.next()).done).toBe(true);
    expect(clock.pending).toBe(0);
  });
});
