import { describe, expect, test } from "bun:test";
import { LiveFeed, WATCHED_SESSIONS_MAX, WATCHERS_MAX } from "../../actors/live-feed.ts";
import { type LiveEvent, LiveLimitError } from "../../actors/live-port.ts";
import { encodeJson } from "../../actors/messages.ts";
import { announce } from "../../actors/runtime/micro.ts";
import type { SessionRequest } from "../../actors/session-port.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import { MemoryMesh } from "../../transport/memory.ts";
import { eventSubject, treeSubject } from "../../transport/subjects.ts";
import type { Transport } from "../../transport/transport.ts";
import { SimulatedClock } from "../simulated-clock.ts";

const MESH = "toy";
const ALICE = "name-of-alice-123";
const BOB = "name-of-bob-45678";
const REQUEST: SessionRequest = {
  prompt: Uint32Array.from([1, 2, 3]),
  sampling: GREEDY,
  maxTokens: 9,
  stopTokens: [],
};
const PIPELINE = {
  epoch: 1,
  ready: true,
  modelId: "toy",
  contextLength: 99,
  policies: [],
  stages: 2,
  numerics: "fast",
};

class Feed {
  readonly clock = new SimulatedClock();
  readonly mesh = new MemoryMesh({ clock: this.clock });
  readonly sender = this.mesh.connect("sender");
  /** Subscriptions that the feed has just now. */
  subscriptions = 0;
  readonly live = new LiveFeed({
    mesh: MESH,
    transport: this.#counted(this.mesh.connect("gateway")),
    clock: this.clock,
    textOf: (token) => (token === 99 ? "x".repeat(500) : `<${token}>`),
  });

  watch(name: string) {
    const events: LiveEvent[] = [];
    let ended = false;
    const end = (): void => {
      ended = true;
    };
    const watch = this.live.watch(name, { tell: (event) => events.push(event), end });
    return { events, stop: () => watch.stop(), isEnded: () => ended };
  }

  #counted(transport: Transport): Transport {
    const subscribe: Transport["subscribe"] = (...args) => {
      const subscription = transport.subscribe(...args);
      this.subscriptions++;
      let open = true;
      return {
        unsubscribe: () => {
          if (open) this.subscriptions--;
          open = false;
          subscription.unsubscribe();
        },
      };
    };
    return new Proxy(transport, {
      get: (target, key) => {
        if (key === "subscribe") return subscribe;
        const value = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }
}

describe("a feed that nobody reads", () => {
  test("listens to nothing, however many sessions are opened", () => {
    const feed = new Feed();
    expect(feed.live.opening("s1", ALICE, REQUEST)).toBeUndefined();
    const bob = feed.watch(BOB);
    const idle = feed.subscriptions;
    expect(feed.live.opening("s2", ALICE, REQUEST)).toBeUndefined();
    expect(feed.subscriptions).toBe(idle);
    bob.stop();
    bob.stop();
    expect(feed.subscriptions).toBe(0);
    expect(bob.events).toEqual([]);
  });
});

describe("a watcher", () => {
  test("hears of sessions under its name alone, from their opening to their end", async () => {
    const feed = new Feed();
    const [alice, bob] = [feed.watch(ALICE), feed.watch(BOB)];
    const session = feed.live.opening("s1", ALICE, REQUEST);
    await feed.clock.advance(250);
    session?.committed({
      epoch: 1,
      generation: 0,
      segment: 0,
      position: 3,
      nodes: [2],
      tokens: [7],
      text: "",
    });
    session?.ended({ reason: "length" });
    await feed.clock.advance(10);
    expect(bob.events).toEqual([]);
    const of = { session: "s1" };
    expect(alice.events).toEqual([
      { ...of, type: "opened", atMs: 0, promptTokens: 3, maxTokens: 9 },
      {
        ...of,
        ...{ type: "committed", atMs: 250, generation: 0, segment: 0, position: 3 },
        ...{ nodes: [2], tokens: [7], texts: ["<7>"] },
      },
      { ...of, type: "ended", atMs: 250, reason: "length" },
    ]);
    for (const each of [alice, bob]) each.stop();
    expect(feed.subscriptions).toBe(0);
  });

  test("that comes back hears the rest", () => {
    const feed = new Feed();
    const first = feed.watch(ALICE);
    const session = feed.live.opening("s1", ALICE, REQUEST);
    first.stop();
    const second = feed.watch(ALICE);
    session?.ended({ reason: "stop" });
    expect(second.events.map(({ type }) => type)).toEqual(["ended"]);
  });

  test("is told of no more nodes, and no longer texts, than a page can use", async () => {
    const feed = new Feed();
    const alice = feed.watch(ALICE);
    feed.live.opening("s1", ALICE, REQUEST);
    const tokens = Array.from({ length: 500 }, () => 99);
    const candidates = {
      ...{ generation: 0, base: 1, position: 3, more: false, draftMs: 1.25 },
      ...{ parents: tokens.map((_, i) => i - 1), tokens, scores: tokens.map((_, i) => -i / 3) },
    };
    feed.sender.publish(treeSubject(MESH, 1, "s1"), encodeJson(candidates), { "Flow-Kind": "candidates" });
    feed.sender.publish(treeSubject(MESH, 1, "s1"), encodeJson({ generation: 0, segment: 3 }), {
      "Flow-Kind": "credit",
    });
    await feed.clock.advance(10);
    const drafted = alice.events.filter((event) => event.type === "drafted");
    expect(drafted).toHaveLength(1);
    expect(drafted[0]?.tokens).toHaveLength(128);
    expect(drafted[0]?.scores.slice(0, 3)).toEqual([0, -0.333, -0.667]);
    expect(drafted[0]?.texts.every((text) => text.length === 40)).toBe(true);
    expect(JSON.stringify(drafted).length).toBeLessThan(10_000);
  });

  test("follows a few sessions of one name at once", () => {
    const feed = new Feed();
    feed.watch(ALICE);
    const sessions = Array.from({ length: WATCHED_SESSIONS_MAX + 1 }, (_, i) =>
      feed.live.opening(`s${i}`, ALICE, REQUEST),
    );
    expect(sessions.at(-1)).toBeUndefined();
    sessions[0]?.ended({ reason: "stop" });
    expect(feed.live.opening("later", ALICE, REQUEST)).toBeDefined();
  });

  test("too many are refused; one that leaves makes room", () => {
    const feed = new Feed();
    const watchers = Array.from({ length: WATCHERS_MAX }, (_, i) => feed.watch(`watcher-number-${i}`));
    expect(() => feed.watch(ALICE)).toThrow(LiveLimitError);
    watchers[3]?.stop();
    const late = feed.watch(ALICE);
    feed.live.close();
    expect(late.isEnded()).toBe(true);
  });

  test("is told who runs where, at once when it is known, and again when it changes", async () => {
    const feed = new Feed();
    const costs = "1=2.50 8=10.00";
    const at = (name: string, metadata: Record<string, string>) => {
      const identity = { name, id: name, version: "1.0.0", metadata };
      return announce(feed.sender, { identity, description: "", started: new Date(), endpoints: () => [] });
    };
    at("stage-1", { mesh: MESH, host: "left", pid: "11", layers: "4-7", costs_ms: costs });
    const old = at("stage-0", { mesh: MESH, host: "right", pid: "12", layers: "0-3" });
    at("somebody-else", {});
    at("stage-2", { mesh: "another", host: "left", pid: "13", layers: "8-9" });
    const alice = feed.watch(ALICE);
    feed.sender.publish(eventSubject(MESH, "pipeline"), encodeJson(PIPELINE));
    await feed.clock.advance(1000);
    const stage1 = {
      ...{ name: "stage-1", host: "left", pid: "11", stage: 1, layers: "4-7" },
      costs: [
        { nodes: 1, ms: 2.5 },
        { nodes: 8, ms: 10 },
      ],
    };
    const mesh = { type: "mesh", ready: true, modelId: "toy", numerics: "fast" };
    const stage0 = { name: "stage-0", host: "right", pid: "12", stage: 0, layers: "0-3" };
    expect(alice.events).toEqual([{ ...mesh, actors: [stage0, stage1] } as LiveEvent]);
    expect(feed.watch(BOB).events).toEqual(alice.events);
    old.unsubscribe();
    at("stage-0", { mesh: MESH, host: "middle", pid: "13", layers: "0-3" });
    feed.sender.publish(eventSubject(MESH, "up"), encodeJson({ name: "stage-0", epoch: 1 }));
    feed.sender.publish(eventSubject(MESH, "pipeline"), encodeJson(PIPELINE));
    await feed.clock.advance(1000);
    const moved = { ...stage0, host: "middle", pid: "13" };
    expect(alice.events.slice(1)).toEqual([{ ...mesh, actors: [moved, stage1] } as LiveEvent]);
  });
});
