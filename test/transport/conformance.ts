import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  ClosedError,
  HeaderError,
  NoRespondersError,
  PayloadTooLargeError,
  RequestTimeoutError,
  SubjectError,
} from "../../transport/errors.ts";
import { HEADER_BYTES_MAX } from "../../transport/headers.ts";
import type { ConnectionStatus, Message, Transport } from "../../transport/transport.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const bytes = (text: string) => encoder.encode(text);
const text = (message: Message) => decoder.decode(message.body);

/** What every Transport must do. `connect` gives a new connection to one and the same mesh. */
export function describeTransport(kind: string, connect: (name: string) => Promise<Transport>): void {
  describe(`${kind} transport`, () => {
    let alice: Transport;
    let bob: Transport;

    beforeEach(async () => {
      [alice, bob] = await Promise.all([connect("alice"), connect("bob")]);
    });
    afterEach(async () => {
      await Promise.all([alice.close(), bob.close()]);
    });

    /** Subscriptions of both are known, and what both published has arrived. */
    async function quiet(): Promise<void> {
      for (const transport of [alice, bob, alice, bob]) await transport.flush();
    }

    async function heard(pattern: string, queue?: string, by = bob): Promise<string[]> {
      const subjects: string[] = [];
      by.subscribe(
        pattern,
        ({ subject }) => void subjects.push(subject),
        queue === undefined ? {} : { queue },
      );
      await quiet();
      return subjects;
    }

    describe("delivery", () => {
      test("10,000 messages on two subjects arrive all, in the publisher's order", async () => {
        const seen: number[] = [];
        for (const subject of ["flow.a", "flow.b"]) {
          bob.subscribe(subject, (message) => void seen.push(Number(text(message))));
        }
        await quiet();
        for (let i = 0; i < 10_000; i++) alice.publish(i % 3 === 0 ? "flow.a" : "flow.b", bytes(String(i)));
        await quiet();
        expect(seen).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
      });

      test("a publisher hears itself, and each of its subscriptions once", async () => {
        const first = await heard("own.>", undefined, alice);
        const second = await heard("own.*", undefined, alice);
        alice.publish("own.word", bytes("x"));
        await quiet();
        expect([first, second]).toEqual([["own.word"], ["own.word"]]);
      });

      test("delivery is not within publish", async () => {
        let published = false;
        let early = false;
        alice.subscribe("now", () => {
          early = !published;
        });
        await quiet();
        alice.publish("now", bytes(""));
        published = true;
        await quiet();
        expect(early).toBe(false);
      });

      test("`*` is one token and `>` one or more", async () => {
        const subjects = ["a", "a.b", "a.c", "a.b.c", "a.b.c.d", "b.b", "ab.c"];
        const expected: Record<string, string[]> = {
          "a.b": ["a.b"],
          "a.*": ["a.b", "a.c"],
          "*.b": ["a.b", "b.b"],
          "a.*.c": ["a.b.c"],
          "a.>": ["a.b", "a.c", "a.b.c", "a.b.c.d"],
          "*.*.>": ["a.b.c", "a.b.c.d"],
          ">": subjects,
        };
        const actual: Record<string, string[]> = {};
        for (const pattern of Object.keys(expected)) actual[pattern] = await heard(pattern);
        for (const subject of subjects) alice.publish(subject, bytes(""));
        await quiet();
        // A server has subjects of its own, which only `>` could see.
        actual[">"] = actual[">"]!.filter((subject) => !/^[_$]/.test(subject));
        expect(actual).toEqual(expected);
      });

      test("members of a queue group share what others get in full", async () => {
        const members = [
          await heard("work.*", "crew", alice),
          await heard("work.*", "crew", bob),
          await heard("work.>", "crew", bob),
        ];
        const otherGroup = await heard("work.*", "guards");
        const plain = await heard("work.*");
        const sent = Array.from({ length: 1000 }, (_, i) => `work.${i}`);
        for (const subject of sent) alice.publish(subject, bytes(""));
        await quiet();
        expect(members.flat().sort()).toEqual(sent.toSorted());
        expect(members.every((member) => member.length > 0)).toBe(true);
        expect([otherGroup, plain]).toEqual([sent, sent]);
      });

      test("a subscriber that throws hears the next message, and so do others", async () => {
        const seen: string[] = [];
        bob.subscribe("fragile", (message) => {
          seen.push(text(message));
          throw new Error("a fault of the subscriber");
        });
        const other = await heard("fragile");
        for (const word of ["one", "two"]) alice.publish("fragile", bytes(word));
        await quiet();
        expect(seen).toEqual(["one", "two"]);
        expect(other).toEqual(["fragile", "fragile"]);
      });

      test("nothing arrives after unsubscribe, not even what was on its way; twice is harmless", async () => {
        const seen: string[] = [];
        const subscription = bob.subscribe("once", (message) => {
          seen.push(text(message));
          subscription.unsubscribe();
          subscription.unsubscribe();
        });
        await quiet();
        for (const word of ["one", "two", "three"]) alice.publish("once", bytes(word));
        await quiet();
        expect(seen).toEqual(["one"]);
      });
    });

    describe("bodies and headers", () => {
      test("a body is the receiver's own, aligned, and no view of anything larger", async () => {
        const received: Message[] = [];
        for (const transport of [alice, bob]) {
          transport.subscribe("body", (message) => {
            message.body.fill(message.body[0]! + 100);
            received.push(message);
          });
        }
        await quiet();
        const sizes = [1, 3, 8, 1021, 65_537];
        for (const [index, size] of sizes.entries()) {
          const body = new Uint8Array(size).fill(index + 1);
          alice.publish("body", body, index % 2 === 0 ? {} : { odd: "padding" });
          // The sender may use its buffer again at once.
          body.fill(0);
        }
        await quiet();
        expect(received.map(({ body }) => body.length).sort()).toEqual([...sizes, ...sizes].sort());
        for (const { body } of received) {
          expect(body.byteOffset % 8).toBe(0);
          expect(body.buffer.byteLength).toBe(body.length);
          const mark = 101 + sizes.indexOf(body.length);
          expect(body.every((byte) => byte === mark)).toBe(true);
        }
      });

      test("headers arrive by name, trimmed, beyond ASCII too; without any there are none", async () => {
        const received: Message["headers"][] = [];
        bob.subscribe("head", (message) => void received.push(message.headers));
        await quiet();
        alice.publish("head", bytes(""), { "Flow-Kind": "commit", text: "  naïve: ✓ " });
        alice.publish("head", bytes("x"));
        await quiet();
        expect(received).toEqual([{ "Flow-Kind": "commit", text: "naïve: ✓" }, {}]);
      });

      test("headers that can't be sent are refused", () => {
        expect(() => alice.publish("head", bytes(""), { "a b": "x" })).toThrow(HeaderError);
        expect(() => alice.publish("head", bytes(""), { a: "x\r\nb: y" })).toThrow(HeaderError);
        const large = { a: "x".repeat(HEADER_BYTES_MAX) };
        expect(() => alice.publish("head", bytes(""), large)).toThrow(PayloadTooLargeError);
      });

      test("the largest body arrives with full headers, and one byte more is refused", async () => {
        const sizes: number[] = [];
        bob.subscribe("big", ({ body }) => void sizes.push(body.length));
        await quiet();
        const limit = alice.maxPayloadBytes;
        const headers = { a: "x".repeat(HEADER_BYTES_MAX - "NATS/1.0\r\na: \r\n\r\n".length) };
        alice.publish("big", new Uint8Array(limit), headers);
        expect(() => alice.publish("big", new Uint8Array(limit + 1))).toThrow(PayloadTooLargeError);
        await expect(alice.request("big", new Uint8Array(limit + 1), { timeoutMs: 1000 })).rejects.toThrow(
          PayloadTooLargeError,
        );
        await quiet();
        expect(sizes).toEqual([limit]);
      });

      test("subjects and patterns must be whole", async () => {
        for (const subject of ["", "a..b", ".a", "a b", "a.*", "a.>", "x".repeat(2000)]) {
          expect(() => alice.publish(subject, bytes(""))).toThrow(SubjectError);
        }
        for (const pattern of ["", "a..b", "a.>.b", "a\tb"]) {
          expect(() => alice.subscribe(pattern, () => {})).toThrow(SubjectError);
        }
      });
    });

    describe("requests", () => {
      test("are answered, with headers both ways", async () => {
        bob.subscribe("ask", (message) => {
          expect(message.expectsReply).toBe(true);
          message.respond(bytes(`${text(message)}, ${message.headers.name}!`), { Code: "7" });
        });
        await quiet();
        const options = { timeoutMs: 5000, headers: { name: "world" } };
        const answers = await Promise.all(
          ["hello", "bye"].map((word) => alice.request("ask", bytes(word), options)),
        );
        expect(answers.map(text)).toEqual(["hello, world!", "bye, world!"]);
        expect(answers[0]!.headers).toEqual({ Code: "7" });
      });

      test("a published message expects no reply, and respond does nothing", async () => {
        let expectsReply: boolean | undefined;
        bob.subscribe("tell", (message) => {
          expectsReply = message.expectsReply;
          message.respond(bytes("unheard"));
        });
        await quiet();
        alice.publish("tell", bytes(""));
        await quiet();
        expect(expectsReply).toBe(false);
      });

      test("fail at once when nobody listens", async () => {
        await expect(alice.request("nobody.here", bytes(""), { timeoutMs: 60_000 })).rejects.toThrow(
          NoRespondersError,
        );
        expect(await alice.requestMany("nobody.here", bytes(""), { timeoutMs: 60_000 })).toEqual([]);
      });

      test("fail after their time when nobody answers", async () => {
        await heard("mute");
        await expect(alice.request("mute", bytes(""), { timeoutMs: 20 })).rejects.toThrow(
          RequestTimeoutError,
        );
        expect(await alice.requestMany("mute", bytes(""), { timeoutMs: 20 })).toEqual([]);
      });

      test("to many collect every answer", async () => {
        for (const [name, transport] of Object.entries({ alice, bob })) {
          transport.subscribe("roll-call", (message) => {
            message.respond(bytes(name));
            message.respond(bytes(`${name} again`));
          });
        }
        await quiet();
        const answers = await alice.requestMany("roll-call", bytes(""), { timeoutMs: 300 });
        expect(answers.map(text).sort()).toEqual(["alice", "alice again", "bob", "bob again"]);
      });
    });

    describe("closing", () => {
      test("delivers what was received, then refuses everything", async () => {
        const seen = await heard("late", undefined, alice);
        alice.publish("late", bytes(""));
        await alice.close();
        expect(seen).toEqual(["late"]);
        expect(alice.status).toBe("closed");
        expect(() => alice.publish("late", bytes(""))).toThrow(ClosedError);
        expect(() => alice.subscribe("late", () => {})).toThrow(ClosedError);
        await expect(alice.request("late", bytes(""), { timeoutMs: 1000 })).rejects.toThrow(ClosedError);
        await expect(alice.requestMany("late", bytes(""), { timeoutMs: 1000 })).rejects.toThrow(ClosedError);
        await expect(alice.flush()).rejects.toThrow(ClosedError);
        await alice.close();
      });

      test("ends waiting requests and leaves no subscription behind", async () => {
        await heard("mute");
        const waiting = alice.request("mute", bytes(""), { timeoutMs: 60_000 });
        const collecting = alice.requestMany("mute", bytes(""), { timeoutMs: 60_000 });
        const outcomes = Promise.allSettled([waiting, collecting]);
        await quiet();
        await alice.close();
        for (const outcome of await outcomes) {
          expect(outcome).toMatchObject({ status: "rejected", reason: { name: "ClosedError" } });
        }
        const ears = await connect("ears");
        ears.subscribe("mine", () => {});
        await ears.flush();
        await ears.close();
        await bob.flush();
        await expect(bob.request("mine", bytes(""), { timeoutMs: 60_000 })).rejects.toThrow(
          NoRespondersError,
        );
      });

      test("is told to status listeners once, unless they have left", async () => {
        const statuses: ConnectionStatus[] = [];
        const gone: ConnectionStatus[] = [];
        alice.onStatus((status) => void statuses.push(status));
        alice.onStatus((status) => void gone.push(status)).unsubscribe();
        expect(alice.status).toBe("connected");
        await alice.close();
        expect(statuses).toEqual(["closed"]);
        expect(gone).toEqual([]);
      });
    });
  });
}
