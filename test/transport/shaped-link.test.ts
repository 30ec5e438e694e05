import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { systemClock } from "../../actors/runtime/clock.ts";
import { ClosedError } from "../../transport/errors.ts";
import { MemoryMesh } from "../../transport/memory.ts";
import { connectNats } from "../../transport/nats.ts";
import { shapeLink } from "../../transport/shaped-link.ts";
import { startNatsServer, type TestNatsServer } from "../nats-server.ts";
import { SimulatedClock, settle } from "../simulated-clock.ts";
import { describeTransport } from "./conformance.ts";

/** Short, but long enough that nothing passes in the same turn. */
const QUICK = { delayMs: 0.2, mbps: 50_000 };
/** Everything waits, both ways. */
const shaped = { link: QUICK, clock: systemClock, inbound: ">" };

const mesh = new MemoryMesh();
describeTransport("shaped in-memory", async (name) => shapeLink(mesh.connect(name), shaped));

describe("over a real server", () => {
  let server: TestNatsServer;
  beforeAll(async () => {
    server = await startNatsServer();
  });
  afterAll(() => server.stop());

  describeTransport("shaped NATS", async (name) =>
    shapeLink(await connectNats({ url: server.url, name }), shaped),
  );
});

interface Sent {
  readonly afterMs: number;
  readonly subject: string;
  readonly bytes: number;
}

const sends = fc.array(
  fc.record({
    afterMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 40, noNaN: true })),
    subject: fc.constantFrom("a", "b.c"),
    bytes: fc.nat(20_000),
  }),
  { minLength: 1, maxLength: 30 },
);
const links = fc.record(
  {
    delayMs: fc.constantFrom(0, 0.5, 1, 20),
    mbps: fc.constantFrom(1, 10, 150),
  },
  { requiredKeys: ["delayMs"] },
);

interface Arrival {
  readonly index: number;
  readonly atMs: number;
}

/** Publishes through one link and tells when each message came out at the other end, in that order. */
async function play(
  way: "uplink" | "downlink",
  link: { delayMs: number; mbps?: number },
  list: readonly Sent[],
): Promise<Arrival[]> {
  const clock = new SimulatedClock();
  const world = new MemoryMesh({ clock });
  const plain = world.connect("plain");
  const behind = shapeLink(world.connect("behind"), { link, clock, inbound: ">" });
  const [sender, receiver] = way === "uplink" ? [behind, plain] : [plain, behind];
  const arrivals: Arrival[] = [];
  receiver.subscribe(">", ({ body }) => {
    arrivals.push({ index: new DataView(body.buffer).getUint32(0), atMs: clock.now() });
  });
  for (const [index, { afterMs, subject, bytes }] of list.entries()) {
    await clock.advance(afterMs);
    const body = new Uint8Array(4 + bytes);
    new DataView(body.buffer).setUint32(0, index);
    sender.publish(subject, body);
  }
  await clock.advance(1e9);
  expect(clock.pending).toBe(0);
  return arrivals;
}

describe("a shaped link", () => {
  test("serves a queue in order, at its rate, then delays it: any traffic, both ways", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom("uplink", "downlink"), links, sends, async (way, link, list) => {
        const arrivals = await play(way, link, list);
        expect(arrivals.map(({ index }) => index)).toEqual(list.map((_, index) => index));
        let sentAtMs = 0;
        let lineFreeAtMs = 0;
        for (const [index, { afterMs, subject, bytes }] of list.entries()) {
          sentAtMs += afterMs;
          const wireMs =
            link.mbps === undefined ? 0 : ((subject.length + 4 + bytes) * 8) / (link.mbps * 1000);
          lineFreeAtMs = Math.max(lineFreeAtMs, sentAtMs) + wireMs;
          expect(arrivals[index]!.atMs).toBeCloseTo(lineFreeAtMs + link.delayMs, 6);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("a backlog takes as long as all its bytes at the rate", async () => {
    const list = Array.from({ length: 10 }, () => ({ afterMs: 0, subject: "a", bytes: 18_745 }));
    const arrivals = await play("uplink", { delayMs: 5, mbps: 150 }, list);
    // 18,750 bytes a message are 1 ms at 150 Mbit/s.
    for (const [index, { atMs }] of arrivals.entries()) expect(atMs).toBeCloseTo(5 + index + 1, 6);
  });

  test("headers count as NATS writes them", async () => {
    const clock = new SimulatedClock();
    const world = new MemoryMesh({ clock });
    const sender = shapeLink(world.connect("sender"), { link: { delayMs: 0, mbps: 0.008 }, clock });
    const times: number[] = [];
    world.connect("receiver").subscribe("s", () => void times.push(clock.now()));
    // One byte a millisecond.
    sender.publish("s", new Uint8Array(3), { Kind: "é" });
    await clock.advance(1000);
    expect(times).toEqual(["s".length + "NATS/1.0\r\nKind: é\r\n\r\n".length + 1 + 3]);
  });

  test("delays what comes in on the named subjects, on a line of their own, and nothing else", async () => {
    const clock = new SimulatedClock();
    const world = new MemoryMesh({ clock });
    const options = { link: { delayMs: 20, mbps: 1 }, clock, inbound: "flow.m.e1.stage.0.>" };
    const stage = shapeLink(world.connect("stage"), options);
    const heard: [string, number][] = [];
    stage.subscribe("flow.>", ({ subject }) => void heard.push([subject, clock.now()]));
    const others = world.connect("tree");
    for (const subject of ["flow.m.e1.stage.0.s", "flow.m.session.s.commit", "flow.m.e1.stage.0.s"]) {
      others.publish(subject, new Uint8Array(0));
    }
    await clock.advance(100);
    const wireMs = "flow.m.e1.stage.0.s".length * 0.008;
    expect(heard[0]).toEqual(["flow.m.session.s.commit", 0]);
    expect(heard.slice(1).map(([subject]) => subject)).toEqual([
      "flow.m.e1.stage.0.s",
      "flow.m.e1.stage.0.s",
    ]);
    expect(heard[1]![1]).toBeCloseTo(20 + wireMs, 6);
    expect(heard[2]![1]).toBeCloseTo(20 + 2 * wireMs, 6);
  });

  test("an unsubscribed subject's messages that are still on the downlink are not delivered", async () => {
    const clock = new SimulatedClock();
    const world = new MemoryMesh({ clock });
    const stage = shapeLink(world.connect("stage"), { link: { delayMs: 20 }, clock, inbound: ">" });
    let heard = 0;
    const subscription = stage.subscribe("a", () => heard++);
    world.connect("other").publish("a", new Uint8Array(0));
    await settle();
    subscription.unsubscribe();
    await clock.advance(100);
    expect(heard).toBe(0);
  });

  test("a subscriber's error on the downlink goes to the log, and the next message comes", async () => {
    const clock = new SimulatedClock();
    const world = new MemoryMesh({ clock });
    const records: unknown[] = [];
    const log = { write: (...record: unknown[]) => void records.push(record) };
    const stage = shapeLink(world.connect("stage"), { link: { delayMs: 20 }, clock, inbound: ">", log });
    let heard = 0;
    const error = new Error("a fault");
    stage.subscribe("a", () => {
      heard++;
      throw error;
    });
    for (let i = 0; i < 2; i++) world.connect(`other-${i}`).publish("a", new Uint8Array(0));
    await clock.advance(100);
    expect(heard).toBe(2);
    expect(records[0]).toEqual(["error", "a subscriber threw", { subject: "a", error }]);
  });

  test("closing waits for what is on the link, but not for ever", async () => {
    const clock = new SimulatedClock();
    const world = new MemoryMesh({ clock });
    const heard: number[] = [];
    world.connect("receiver").subscribe("a", () => void heard.push(clock.now()));
    for (const [delayMs, until] of [
      [500, 500],
      [60_000, 2_000],
    ] as const) {
      const begun = clock.now();
      const sender = shapeLink(world.connect("sender"), { link: { delayMs }, clock });
      sender.publish("a", new Uint8Array(0));
      const closed = sender.close();
      expect(() => sender.publish("a", new Uint8Array(0))).toThrow(ClosedError);
      await clock.advance(100_000);
      await closed;
      expect(heard.at(-1)! - begun).toBe(until);
    }
    expect(clock.pending).toBe(0);
  });

  test("what comes to the end of the link after the connection is gone is counted", async () => {
    const clock = new SimulatedClock();
    const inner = new MemoryMesh({ clock }).connect("sender");
    const sender = shapeLink(inner, { link: { delayMs: 20 }, clock });
    sender.publish("a", new Uint8Array(0));
    await inner.close();
    await clock.advance(100);
    expect(sender.droppedCount).toBe(1);
  });
});
