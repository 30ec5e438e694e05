import { beforeEach, describe, expect, test } from "bun:test";
import type { ActorContext, ActorDefinition } from "../../../actors/runtime/actor.ts";
import { silentLog } from "../../../actors/runtime/log.ts";
import { errorOf } from "../../../actors/runtime/service-error.ts";
import { type SpawnOptions, spawn } from "../../../actors/runtime/spawn.ts";
import { ActorEscalatedError } from "../../../actors/runtime/supervision.ts";
import { MemoryMesh } from "../../../transport/memory.ts";
import type { Message, Transport } from "../../../transport/transport.ts";
import { SimulatedClock, settle } from "../../simulated-clock.ts";

const encoder = new TextEncoder();
const text = (message: Message) => new TextDecoder().decode(message.body);

let clock: SimulatedClock;
let transport: Transport;
let client: Transport;
let options: SpawnOptions;

beforeEach(() => {
  clock = new SimulatedClock();
  const mesh = new MemoryMesh({ clock });
  transport = mesh.connect("host");
  client = mesh.connect("client");
  options = { transport, clock, log: silentLog };
});

const say = (subject: string, ...words: string[]) => {
  for (const word of words) client.publish(subject, encoder.encode(word));
};

/** An actor that writes down what it hears; the word "wait" keeps its turn until `open` is called. */
function scribe(more: Partial<ActorDefinition> = {}) {
  const heard: string[] = [];
  let gate = Promise.withResolvers<void>();
  const context: { current?: ActorContext } = {};
  const definition: ActorDefinition = {
    name: "scribe",
    description: "Writes down what it hears",
    start(given) {
      context.current = given;
      given.listen("say", { lane: "normal" });
      given.listen("say.now", { lane: "urgent" });
      return {
        async receive(message) {
          const word = text(message);
          heard.push(word);
          if (word === "wait") await gate.promise;
          if (word === "crash") throw new Error("told to");
          heard.push(`/${word}`);
        },
        stop: () => void heard.push("stopped"),
      };
    },
    ...more,
  };
  const open = () => {
    gate.resolve();
    gate = Promise.withResolvers();
  };
  return { definition, heard, open, context: () => context.current as ActorContext };
}

describe("turns", () => {
  test("are one at a time, and urgent messages overtake", async () => {
    const { definition, heard, open } = scribe();
    const ref = await spawn(definition, options);
    say("say", "wait", "a", "b");
    await settle();
    say("say.now", "u", "v");
    say("say", "c");
    await settle();
    expect(heard).toEqual(["wait"]);
    open();
    await settle();
    const order = ["wait", "u", "v", "a", "b", "c"];
    expect(heard).toEqual(order.flatMap((word) => [word, `/${word}`]));
    expect(ref.stats).toMatchObject({ received: 6, dropped: 0, failed: 0, restarts: 0, greatestDepth: 5 });
    await ref.stop();
  });

  test("urgent messages of the same burst come first, even before the actor has woken", async () => {
    const { definition, heard } = scribe();
    const ref = await spawn(definition, options);
    say("say", "late");
    say("say.now", "early");
    await settle();
    expect(heard).toEqual(["early", "/early", "late", "/late"]);
    await ref.stop();
  });

  test("messages beyond the capacity are dropped, counted, and refused if somebody waits", async () => {
    const { definition, heard, open } = scribe({ mailboxCapacity: 2 });
    const ref = await spawn(definition, options);
    say("say", "wait");
    await settle();
    say("say", "a", "b", "lost", "lost");
    say("say.now", "u");
    const answer = await client.request("say", new Uint8Array(0), { timeoutMs: 1000 });
    expect(errorOf(answer)).toMatchObject({ code: 503, message: "scribe has too much to do" });
    open();
    await settle();
    expect(heard).toEqual(["wait", "u", "a", "b"].flatMap((word) => [word, `/${word}`]));
    expect(ref.stats).toMatchObject({ received: 7, dropped: 3, greatestDepth: 3 });
    await ref.stop();
  });

  test("busy time is the clock's", async () => {
    const { definition, open } = scribe();
    const ref = await spawn(definition, options);
    say("say", "wait");
    await clock.advance(2.5);
    open();
    await settle();
    expect(ref.stats.busyNs).toBe(2_500_000);
    await ref.stop();
  });

  test("what comes in while the actor starts waits until it has", async () => {
    const started = Promise.withResolvers<void>();
    const { definition, heard } = scribe();
    const slow: ActorDefinition = {
      ...definition,
      async start(context) {
        const actor = await definition.start(context);
        await started.promise;
        return actor;
      },
    };
    const spawned = spawn(slow, options);
    say("say", "a");
    await settle();
    expect(heard).toEqual([]);
    started.resolve();
    const ref = await spawned;
    await settle();
    expect(heard).toEqual(["a", "/a"]);
    await ref.stop();
  });

  test("an actor that has unsubscribed does not hear even what was queued", async () => {
    const { definition, heard, open, context } = scribe();
    const ref = await spawn(definition, options);
    const extra = context().listen("extra", { lane: "normal" });
    say("say", "wait");
    say("extra", "unheard");
    await settle();
    extra.unsubscribe();
    open();
    await settle();
    expect(heard).toEqual(["wait", "/wait"]);
    await ref.stop();
  });
});

describe("after", () => {
  test("runs a turn of its own once, in the normal lane, at its time", async () => {
    const { definition, heard, open, context } = scribe();
    const ref = await spawn(definition, options);
    context().after(10, () => void heard.push("tick"));
    const cancelled = context().after(5, () => void heard.push("cancelled"));
    cancelled.unsubscribe();
    await clock.advance(9);
    say("say", "wait");
    await clock.advance(100);
    const queued = context().after(0, () => void heard.push("cancelled while queued"));
    await clock.advance(0);
    queued.unsubscribe();
    say("say.now", "u");
    await settle();
    expect(heard).toEqual(["wait"]);
    open();
    await settle();
    expect(heard).toEqual(["wait", "/wait", "u", "/u", "tick"]);
    expect(clock.pending).toBe(0);
    await ref.stop();
  });

  test("is never lost to a full mailbox", async () => {
    const { definition, heard, open, context } = scribe({ mailboxCapacity: 1 });
    const ref = await spawn(definition, options);
    context().after(1, () => void heard.push("tick"));
    say("say", "wait");
    await settle();
    say("say", "a", "lost");
    await clock.advance(1);
    open();
    await settle();
    expect(heard).toEqual(["wait", "/wait", "a", "/a", "tick"]);
    await ref.stop();
  });

  test("an error in it is a crash like any other", async () => {
    const { definition, context } = scribe();
    const ref = await spawn(definition, options);
    context().after(1, () => {
      throw new Error("in a turn");
    });
    await clock.advance(1000);
    expect(ref.stats).toMatchObject({ failed: 1, restarts: 1 });
    await ref.stop();
  });
});

describe("stop", () => {
  for (const drain of [false, true]) {
    test(`finishes the running turn and ${drain ? "the queued ones" : "discards the rest"}`, async () => {
      const { definition, heard, open, context } = scribe();
      const ref = await spawn(definition, options);
      context().after(1000, () => void heard.push("never"));
      say("say", "wait", "a");
      const asked = client.request("say", encoder.encode("b"), { timeoutMs: 1000 });
      const outcome = asked.catch((error: Error) => error);
      await settle();
      const stopped = ref.stop({ drain });
      say("say", "too late");
      await settle();
      expect(heard).toEqual(["wait"]);
      // In the last turns the context gives nothing new.
      context().listen("say", { lane: "normal" });
      context().after(0, () => void heard.push("never"));
      open();
      await stopped;
      const drained = drain ? ["a", "/a", "b", "/b"] : [];
      expect(heard).toEqual(["wait", "/wait", ...drained, "stopped"]);
      expect(ref.stats).toMatchObject({ received: 3, dropped: drain ? 0 : 2 });
      expect(await ref.ended).toBeUndefined();
      await clock.advance(500);
      say("say", "far too late");
      await clock.advance(500);
      const answer = await outcome;
      const refusal = answer instanceof Error ? answer : errorOf(answer);
      expect(refusal).toMatchObject(
        drain ? { name: "RequestTimeoutError" } : { code: 503, message: "scribe has stopped" },
      );
      expect(heard.at(-1)).toBe("stopped");
      expect(clock.pending).toBe(0);
    });
  }

  test("twice is once, and the second may hurry the first", async () => {
    const { definition, heard, open } = scribe();
    const ref = await spawn(definition, options);
    say("say", "wait", "a");
    await settle();
    const stops = [ref.stop({ drain: true }), ref.stop(), ref.stop({ drain: true })];
    open();
    await Promise.all(stops);
    expect(heard).toEqual(["wait", "/wait", "stopped"]);
  });

  test("is not held up by an actor that fails to stop, which is logged", async () => {
    const { definition } = scribe();
    const records: unknown[] = [];
    const log = { write: (...record: unknown[]) => void records.push(record) };
    const error = new Error("stuck");
    const start: ActorDefinition["start"] = async (context) => ({
      ...(await definition.start(context)),
      stop: () => Promise.reject(error),
    });
    const ref = await spawn({ ...definition, start }, { ...options, log });
    await ref.stop();
    expect(records).toEqual([["error", "failed to stop cleanly", { actor: "scribe", error }]]);
  });
});

describe("a crash", () => {
  const supervision = { firstDelayMs: 100, delayMsMax: 300, restartsMax: 3, windowMs: 10_000 };

  test("ends a life: the sender is told, the mailbox emptied, the actor stopped and started anew", async () => {
    const { definition, heard, context } = scribe();
    const ref = await spawn(definition, { ...options, supervision });
    const firstContext = context();
    firstContext.after(50, () => void heard.push("of the first life"));
    const waiting = client.request("say", encoder.encode("crash"), { timeoutMs: 1000 });
    say("say", "discarded");
    await settle();
    expect(errorOf(await waiting)).toMatchObject({ code: 500, message: "scribe failed: told to" });
    expect(heard).toEqual(["crash", "stopped"]);
    // Nobody listens until it is back, so that those who ask know at once.
    const unheard = await client
      .request("say", new Uint8Array(0), { timeoutMs: 1000 })
      .catch((error) => error);
    expect(unheard).toMatchObject({ name: "NoRespondersError" });
    await clock.advance(99);
    expect(context()).toBe(firstContext);
    await clock.advance(1);
    expect(context()).not.toBe(firstContext);
    firstContext.listen("say", { lane: "normal" });
    say("say", "b");
    await settle();
    expect(heard).toEqual(["crash", "stopped", "b", "/b"]);
    expect(ref.stats).toMatchObject({ failed: 1, restarts: 1, dropped: 1 });
    await ref.stop();
  });

  test("after another waits twice as long each time, until the supervisor gives up", async () => {
    const starts: number[] = [];
    const { definition } = scribe();
    const start: ActorDefinition["start"] = (context) => {
      starts.push(clock.now());
      return definition.start(context);
    };
    const ref = await spawn({ ...definition, start }, { ...options, supervision });
    for (let n = 0; n < 4; n++) {
      say("say", "crash");
      await clock.advance(1000);
    }
    expect(starts).toEqual([0, 100, 1200, 2300]);
    const ended = await ref.ended;
    expect(ended).toBeInstanceOf(ActorEscalatedError);
    expect(ended).toMatchObject({ message: "actor scribe crashed 4 times in a row: told to" });
    expect(ended?.cause).toMatchObject({ message: "told to" });
    expect(clock.pending).toBe(0);
    await ref.stop();
  });

  test("in a restart counts too, and the actor comes back when start works again", async () => {
    const { definition, heard } = scribe();
    let broken = false;
    const start: ActorDefinition["start"] = (context) => {
      context.after(10_000, () => {});
      if (broken) throw "not an Error";
      return definition.start(context);
    };
    const ref = await spawn({ ...definition, start }, { ...options, supervision });
    broken = true;
    say("say", "crash");
    // Restarts fail at 100 and 300 ms; the third, at 600 ms, succeeds.
    await clock.advance(599);
    broken = false;
    expect(ref.stats.restarts).toBe(2);
    await clock.advance(1);
    say("say", "back");
    await settle();
    expect(heard).toEqual(["crash", "stopped", "back", "/back"]);
    expect(clock.pending).toBe(1);
    await ref.stop();
    expect(clock.pending).toBe(0);
  });

  test("does not outlive a stop, whether it waits for a restart or drains", async () => {
    const waiting = scribe();
    const ref = await spawn(waiting.definition, { ...options, supervision });
    say("say", "crash");
    await settle();
    await ref.stop();
    await clock.advance(10_000);
    expect(waiting.heard).toEqual(["crash", "stopped"]);

    const draining = scribe();
    const other = await spawn(draining.definition, { ...options, supervision });
    say("say", "wait", "crash", "unheard");
    await settle();
    const stopped = other.stop({ drain: true });
    draining.open();
    await stopped;
    expect(draining.heard).toEqual(["wait", "/wait", "crash", "stopped"]);
    expect(await other.ended).toBeUndefined();
    expect(clock.pending).toBe(0);
  });

  test("at the first start is the caller's, and leaves nothing behind", async () => {
    const broken: ActorDefinition = {
      name: "broken",
      description: "",
      start(context) {
        context.listen("say", { lane: "normal" });
        context.after(1, () => {});
        throw new Error("can't");
      },
    };
    expect(await spawn(broken, options).catch((error) => error)).toMatchObject({ message: "can't" });
    expect(clock.pending).toBe(0);
    for (const subject of ["say", "$SRV.PING"]) {
      const outcome = await client
        .request(subject, new Uint8Array(0), { timeoutMs: 1 })
        .catch((error) => error);
      expect(outcome).toMatchObject({ name: "NoRespondersError" });
    }
  });
});
