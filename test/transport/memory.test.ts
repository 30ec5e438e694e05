import { describe, expect, test } from "bun:test";
import { RequestTimeoutError } from "../../transport/errors.ts";
import { type Delivery, MemoryMesh } from "../../transport/memory.ts";
import { SimulatedClock } from "../simulated-clock.ts";
import { describeTransport } from "./conformance.ts";

// Each test of the suite has its own connections; that they share a mesh with earlier ones shows that these left nothing.
const mesh = new MemoryMesh();
describeTransport("in-memory", async (name) => mesh.connect(name));

describe("in-memory transport under a scheduler", () => {
  const body = (text: string) => new TextEncoder().encode(text);

  test("messages are lost, doubled and reordered as the scheduler says", () => {
    const inFlight: Delivery[] = [];
    const simulated = new MemoryMesh({ deliver: (delivery) => void inFlight.push(delivery) });
    const seen: string[] = [];
    simulated.connect("receiver").subscribe(">", (message) => {
      seen.push(new TextDecoder().decode(message.body));
      message.body.fill(0);
    });
    const sender = simulated.connect("sender");
    for (const word of ["one", "two", "three"]) sender.publish("word", body(word));
    expect(seen).toEqual([]);
    expect(inFlight.map(({ from, to, subject, bytes }) => [from, to, subject, bytes])).toEqual([
      ["sender", "receiver", "word", 3],
      ["sender", "receiver", "word", 3],
      ["sender", "receiver", "word", 5],
    ]);
    for (const index of [2, 0, 0]) inFlight[index]!.run();
    expect(seen).toEqual(["three", "one", "one"]);
  });

  test("what arrives after unsubscribe or close is not delivered", async () => {
    const inFlight: Delivery[] = [];
    const simulated = new MemoryMesh({ deliver: (delivery) => void inFlight.push(delivery) });
    const receiver = simulated.connect("receiver");
    const seen: string[] = [];
    const subscription = receiver.subscribe("a", () => void seen.push("a"));
    receiver.subscribe("b", () => void seen.push("b"));
    for (const subject of ["a", "b"]) simulated.connect("sender").publish(subject, body(""));
    subscription.unsubscribe();
    await receiver.close();
    for (const delivery of inFlight) delivery.run();
    expect(seen).toEqual([]);
  });

  test("requests wait by the mesh's clock", async () => {
    const clock = new SimulatedClock();
    const simulated = new MemoryMesh({ clock });
    const transport = simulated.connect("only");
    transport.subscribe("mute", () => {});
    // Not by `rejects`, which would hold up everything else until the promise settles.
    const outcome = transport.request("mute", body(""), { timeoutMs: 3_600_000 }).catch((error) => error);
    await clock.advance(3_600_000);
    expect(await outcome).toBeInstanceOf(RequestTimeoutError);
    expect(clock.pending).toBe(0);
  });

  test("a subscriber's error goes to the log", async () => {
    const records: unknown[] = [];
    const logged = new MemoryMesh({ log: { write: (...record) => void records.push(record) } });
    const transport = logged.connect("only");
    const error = new Error("a fault");
    transport.subscribe("fragile", () => {
      throw error;
    });
    transport.publish("fragile", body(""));
    await transport.flush();
    expect(records).toEqual([["error", "a subscriber threw", { subject: "fragile", error }]]);
  });
});
