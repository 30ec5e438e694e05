import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AdmissionQueue, type Admitted, type Room } from "../../http/admission-queue.ts";
import { ApiError } from "../../http/errors.ts";
import { SimulatedClock, settle } from "../simulated-clock.ts";

const NOBODY_LEAVES = new AbortController().signal;

/** A queue, and in what order requests came in. */
class Door {
  readonly clock = new SimulatedClock();
  readonly entered: string[] = [];
  readonly refused = new Map<string, unknown>();
  readonly queue: AdmissionQueue;
  readonly #inside = new Map<string, Admitted>();

  constructor(room: Room, limits: { waitingMax?: number; patienceMs?: number } = {}) {
    const { waitingMax = 100, patienceMs = 1000 } = limits;
    this.queue = new AdmissionQueue({ clock: this.clock, room: () => room, waitingMax, patienceMs });
  }

  /** `name`: client and number, as in "a1". */
  async ask(name: string, { sessions = 1, tokens = 1, signal = NOBODY_LEAVES } = {}): Promise<void> {
    this.queue.enter({ client: name.slice(0, 1), sessions, tokens, signal }).then(
      (admitted) => {
        this.entered.push(name);
        this.#inside.set(name, admitted);
      },
      (error: unknown) => void this.refused.set(name, error),
    );
    await settle();
  }

  async leave(name: string): Promise<void> {
    this.#inside.get(name)?.leave();
    await settle();
  }
}

const manyTokens = { sessions: 100, tokens: Number.POSITIVE_INFINITY };

describe("requests for which there is no room", () => {
  test("take turns by client, each client's own in their order", async () => {
    const door = new Door({ ...manyTokens, sessions: 1 });
    for (const name of ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]) await door.ask(name);
    const expected = ["a1", "a2", "b1", "c1", "a3", "b2", "a4"];
    for (let i = 0; i < expected.length; i++) {
      expect(door.entered).toEqual(expected.slice(0, i + 1));
      await door.leave(expected[i]!);
    }
    expect(door.queue.waiting).toBe(0);
  });

  test("never let one client wait for more than one request of each other one at a time", async () => {
    const arrivals = fc.array(fc.constantFrom("a", "b", "c", "d"), { minLength: 2, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(arrivals, async (clients) => {
        const door = new Door({ ...manyTokens, sessions: 1 });
        const names = clients.map((client, index) => `${client}${index}`);
        for (const name of names) await door.ask(name);
        for (let i = 0; i < names.length; i++) await door.leave(door.entered[i]!);
        expect(door.entered.toSorted()).toEqual(names.toSorted());
        // All wait from the beginning but the first, so a client's next turn is there until it has had its last.
        const order = door.entered.slice(1);
        for (const client of new Set(order.map((name) => name[0]))) {
          const turns = order.flatMap((name, at) => (name[0] === client ? [at] : []));
          for (const [index, at] of turns.entries()) {
            const since = order.slice(index === 0 ? 0 : turns[index - 1]! + 1, at);
            expect(new Set(since.map((name) => name[0])).size).toBe(since.length);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  test("wait for memory, and none overtakes a large one, whoever asks", async () => {
    const door = new Door({ sessions: 10, tokens: 100 });
    await door.ask("a1", { tokens: 60 });
    await door.ask("b1", { tokens: 50 });
    await door.ask("c1", { tokens: 10 });
    expect(door.entered).toEqual(["a1"]);
    await door.leave("a1");
    expect(door.entered).toEqual(["a1", "b1", "c1"]);
  });

  test("that need more than all of it go in alone", async () => {
    const door = new Door({ sessions: 2, tokens: 100 });
    await door.ask("a1", { tokens: 10 });
    await door.ask("b1", { tokens: 1000, sessions: 4 });
    expect(door.entered).toEqual(["a1"]);
    await door.leave("a1");
    await door.ask("c1");
    expect(door.entered).toEqual(["a1", "b1"]);
    for (let session = 0; session < 3; session++) await door.leave("b1");
    expect(door.entered).toEqual(["a1", "b1"]);
    await door.leave("b1");
    // Once more than it has sessions frees nothing of others.
    await door.leave("b1");
    expect(door.entered).toEqual(["a1", "b1", "c1"]);
  });

  test("are refused with 429 when too many wait, and with 503 after their time, each with Retry-After", async () => {
    const door = new Door({ ...manyTokens, sessions: 1 }, { waitingMax: 2, patienceMs: 5000 });
    for (const name of ["a1", "b1", "c1", "d1"]) await door.ask(name);
    expect(door.refused.get("d1")).toMatchObject({ status: 429, headers: { "retry-after": "5" } });
    await door.clock.advance(4999);
    expect(door.refused.has("b1")).toBe(false);
    await door.clock.advance(1);
    await settle();
    for (const name of ["b1", "c1"]) {
      expect(door.refused.get(name)).toBeInstanceOf(ApiError);
      expect(door.refused.get(name)).toMatchObject({ status: 503, headers: { "retry-after": "5" } });
    }
    await door.ask("e1");
    await door.leave("a1");
    expect(door.entered).toEqual(["a1", "e1"]);
  });

  test("let the next one on when their client leaves", async () => {
    const door = new Door({ sessions: 10, tokens: 100 });
    await door.ask("a1", { tokens: 60 });
    const leaving = new AbortController();
    await door.ask("b1", { tokens: 50, signal: leaving.signal });
    await door.ask("c1", { tokens: 40 });
    leaving.abort();
    await settle();
    expect(door.refused.get("b1")).toMatchObject({ status: 499 });
    expect(door.entered).toEqual(["a1", "c1"]);
    expect(door.queue.waiting).toBe(0);
  });
});
