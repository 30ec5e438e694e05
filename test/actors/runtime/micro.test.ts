import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Actor, ActorDefinition, ActorRef } from "../../../actors/runtime/actor.ts";
import { systemClock } from "../../../actors/runtime/clock.ts";
import { silentLog } from "../../../actors/runtime/log.ts";
import { announce } from "../../../actors/runtime/micro.ts";
import { spawn } from "../../../actors/runtime/spawn.ts";
import manifest from "../../../package.json" with { type: "json" };
import { NoRespondersError } from "../../../transport/errors.ts";
import { MemoryMesh } from "../../../transport/memory.ts";
import { connectNats } from "../../../transport/nats.ts";
import type { Transport } from "../../../transport/transport.ts";
import { startNatsServer, type TestNatsServer } from "../../nats-server.ts";
import { SimulatedClock, settle } from "../../simulated-clock.ts";

const nothing = new Uint8Array(0);
const parse = (body: Uint8Array) => JSON.parse(new TextDecoder().decode(body));

function echo(name: string): ActorDefinition {
  return {
    name,
    description: "Answers with what it hears",
    start(context): Actor {
      context.listen("echo.*.loud", { lane: "normal" });
      context.listen("echo.shared", { lane: "urgent", queue: "crew" });
      return {
        receive(message) {
          if (message.body.length === 0) throw new Error("nothing to answer with");
          message.respond(message.body);
        },
      };
    },
  };
}

function describeMicro(kind: string, connect: (name: string) => Promise<Transport>): void {
  describe(`the micro-service protocol over ${kind}`, () => {
    let host: Transport;
    let client: Transport;
    let refs: ActorRef[];

    const ask = async (subject: string) =>
      parse((await client.request(subject, nothing, { timeoutMs: 2000 })).body);
    const askAll = async (subject: string) =>
      (await client.requestMany(subject, nothing, { timeoutMs: 800 })).map(({ body }) => parse(body));

    beforeAll(async () => {
      [host, client] = await Promise.all([connect("host"), connect("client")]);
      const options = { transport: host, clock: systemClock, log: silentLog };
      refs = [
        await spawn(echo("echo"), { ...options, id: "one", metadata: () => ({ host: "attic" }) }),
        await spawn(echo("echo"), { ...options, id: "two" }),
        await spawn(echo("other_Echo-2"), options),
      ];
      await host.flush();
    });
    afterAll(async () => {
      for (const ref of refs) await ref.stop();
      await Promise.all([host.close(), client.close()]);
    });

    test("PING finds all, all of a name, and one", async () => {
      const type = "io.nats.micro.v1.ping_response";
      const { version } = manifest;
      const one = { type, name: "echo", id: "one", version, metadata: { host: "attic" } };
      const two = { type, name: "echo", id: "two", version, metadata: {} };
      const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);
      expect((await askAll("$SRV.PING")).map(({ name }) => name).sort()).toEqual([
        "echo",
        "echo",
        "other_Echo-2",
      ]);
      expect((await askAll("$SRV.PING.echo")).sort(byId)).toEqual([one, two]);
      expect(await askAll("$SRV.PING.echo.two")).toEqual([two]);
      await expect(ask("$SRV.PING.echo.three")).rejects.toThrow(NoRespondersError);
    });

    test("INFO tells what it is and where it listens", async () => {
      expect(await ask("$SRV.INFO.echo.one")).toEqual({
        type: "io.nats.micro.v1.info_response",
        name: "echo",
        id: "one",
        version: manifest.version,
        metadata: { host: "attic" },
        description: "Answers with what it hears",
        endpoints: [
          { name: "echo-any-loud", subject: "echo.*.loud", queue_group: "", metadata: {} },
          { name: "echo-shared", subject: "echo.shared", queue_group: "crew", metadata: {} },
        ],
      });
    });

    test("metadata is asked for at each question", async () => {
      let count = 0;
      const options = { transport: host, clock: systemClock, log: silentLog, id: "counting" };
      const ref = await spawn(echo("counter"), { ...options, metadata: () => ({ count: String(count) }) });
      await host.flush();
      for (count = 1; count <= 2; count++) {
        expect(await ask("$SRV.INFO.counter.counting")).toMatchObject({ metadata: { count: String(count) } });
      }
      await ref.stop();
      await host.flush();
    });

    test("STATS counts by endpoint", async () => {
      for (let n = 1; n <= 4; n++) {
        client.publish("echo.very.loud", new Uint8Array(n));
        await client.request("echo.shared", new Uint8Array(n), { timeoutMs: 2000 });
      }
      while (refs.some(({ stats }) => stats.received < 4)) await settle();
      const [one, two] = [await ask("$SRV.STATS.echo.one"), await ask("$SRV.STATS.echo.two")];
      for (const [id, stats] of Object.entries({ one, two })) {
        expect(Object.keys(stats).sort()).toEqual(
          ["type", "name", "id", "version", "metadata", "started", "endpoints"].sort(),
        );
        expect(stats).toMatchObject({ type: "io.nats.micro.v1.stats_response", name: "echo", id });
        expect(new Date(stats.started).toISOString()).toBe(stats.started);
        expect(stats.endpoints).toHaveLength(2);
        expect(stats.endpoints[0]).toEqual({
          name: "echo-any-loud",
          subject: "echo.*.loud",
          queue_group: "",
          num_requests: 4,
          num_errors: 0,
          last_error: "",
          processing_time: expect.any(Number),
          average_processing_time: Math.trunc(stats.endpoints[0].processing_time / 4),
        });
        expect(Number.isInteger(stats.endpoints[0].processing_time)).toBe(true);
        expect(stats.endpoints[0].processing_time).toBeGreaterThan(0);
      }
      const shared = [one, two].map((stats) => stats.endpoints[1].num_requests);
      // The third of the queue group is "other_Echo-2".
      expect(shared[0] + shared[1] + (await ask("$SRV.STATS.other_Echo-2")).endpoints[1].num_requests).toBe(
        4,
      );
    });
  });
}

const mesh = new MemoryMesh();
describeMicro("memory", async (name) => mesh.connect(name));

let server: TestNatsServer;
beforeAll(async () => {
  server = await startNatsServer();
});
afterAll(() => server.stop());
describeMicro("NATS", (name) => connectNats({ url: server.url, name }));

describe("announce", () => {
  const service = {
    identity: { name: "a", id: "1", version: "1.0.0", metadata: {} },
    description: "",
    started: new Date(0),
    endpoints: () => [],
  };

  test("refuses identities that the protocol does not allow", () => {
    const transport = new MemoryMesh().connect("only");
    for (const wrong of [
      { name: "a.b" },
      { name: "" },
      { id: "*" },
      { version: "1.0" },
      { version: "v1.0.0" },
    ]) {
      const identity = { ...service.identity, ...wrong };
      expect(() => announce(transport, { ...service, identity })).toThrow(/service|Invalid/);
    }
  });

  test("is taken back by unsubscribe, and by the actor's stop and escalation", async () => {
    const clock = new SimulatedClock();
    const transport = new MemoryMesh({ clock }).connect("only");
    const present = async () => {
      const answers = transport.requestMany("$SRV.PING", nothing, { timeoutMs: 10 });
      await clock.advance(10);
      return (await answers).length;
    };
    const announcement = announce(transport, service);
    const stopped = await spawn(echo("stopped"), { transport, clock, log: silentLog });
    const supervision = { firstDelayMs: 1, delayMsMax: 1, restartsMax: 0, windowMs: 1 };
    const doomed = await spawn(echo("doomed"), { transport, clock, log: silentLog, supervision });
    expect(await present()).toBe(3);
    announcement.unsubscribe();
    expect(await present()).toBe(2);
    await stopped.stop();
    expect(await present()).toBe(1);
    transport.publish("echo.x.loud", nothing);
    await doomed.ended;
    expect(await present()).toBe(0);
  });
});
