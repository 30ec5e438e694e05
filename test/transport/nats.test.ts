import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ConnectError, DisconnectedError } from "../../transport/errors.ts";
import { connectNats } from "../../transport/nats.ts";
import type { ConnectionStatus, Transport } from "../../transport/transport.ts";
import { startNatsServer, type TestNatsServer } from "../nats-server.ts";
import { describeTransport } from "./conformance.ts";

let server: TestNatsServer;
beforeAll(async () => {
  server = await startNatsServer();
});
afterAll(() => server.stop());

describeTransport("NATS", (name) => connectNats({ url: server.url, name }));

/** Resolves at the next change to `wanted`. */
function becomes(transport: Transport, wanted: ConnectionStatus): Promise<void> {
  return new Promise((resolve) => {
    const subscription = transport.onStatus((status) => {
      if (status !== wanted) return;
      subscription.unsubscribe();
      resolve();
    });
  });
}

const body = (text: string) => new TextEncoder().encode(text);

describe("NATS transport", () => {
  test("survives a restart of the server: drops and counts meanwhile, then hears again", async () => {
    const first = await startNatsServer();
    const transport = await connectNats({ url: first.url, name: "survivor" });
    const statuses: ConnectionStatus[] = [];
    transport.onStatus((status) => void statuses.push(status));
    const seen: string[] = [];
    transport.subscribe("word", (message) => void seen.push(new TextDecoder().decode(message.body)));
    transport.publish("word", body("before"));
    await transport.flush();
    const limit = transport.maxPayloadBytes;

    const lost = becomes(transport, "disconnected");
    await first.stop();
    await lost;
    transport.publish("word", body("lost"));
    transport.publish("word", body("lost too"));
    transport.subscribe("later", (message) => message.respond(body("heard")));
    expect(transport.droppedCount).toBe(2);
    expect(transport.maxPayloadBytes).toBe(limit);
    await expect(transport.flush()).rejects.toThrow(DisconnectedError);
    await expect(transport.request("later", body(""), { timeoutMs: 60_000 })).rejects.toThrow(
      DisconnectedError,
    );

    const back = becomes(transport, "connected");
    const second = await startNatsServer({ port: first.port });
    await back;
    transport.publish("word", body("after"));
    const answer = await transport.request("later", body(""), { timeoutMs: 5000 });
    expect(new TextDecoder().decode(answer.body)).toBe("heard");
    expect(seen).toEqual(["before", "after"]);
    expect(transport.droppedCount).toBe(2);
    await transport.close();
    expect(statuses).toEqual(["disconnected", "connected", "closed"]);
    await second.stop();
  });

  test("a flush that the server never confirms fails when the connection breaks", async () => {
    const own = await startNatsServer();
    const transport = await connectNats({ url: own.url, name: "flusher" });
    await own.stop();
    await expect(transport.flush()).rejects.toThrow(DisconnectedError);
    await transport.close();
  });

  test("closes while there is no server", async () => {
    const own = await startNatsServer();
    const transport = await connectNats({ url: own.url, name: "lonely" });
    const lost = becomes(transport, "disconnected");
    await own.stop();
    await lost;
    await transport.close();
    expect(transport.status).toBe("closed");
  });

  test("waits for the first server, unless told not to", async () => {
    const probe = await startNatsServer();
    await probe.stop();
    await expect(connectNats({ url: probe.url, name: "hasty", waitOnFirstConnect: false })).rejects.toThrow(
      ConnectError,
    );
    const waiting = connectNats({ url: probe.url, name: "patient" });
    const late = await startNatsServer({ port: probe.port });
    const transport = await waiting;
    expect(transport.status).toBe("connected");
    await transport.close();
    await late.stop();
  });

  test("refused credentials are an error, right ones are not", async () => {
    const guarded = await startNatsServer({ args: ["--user", "host", "--pass", "secret"] });
    const account = { url: guarded.url, name: "guest" };
    await expect(connectNats({ ...account, user: "host", pass: "wrong" })).rejects.toThrow(ConnectError);
    const transport = await connectNats({ ...account, user: "host", pass: "secret" });
    await transport.flush();
    await transport.close();
    await guarded.stop();
  });

  test("asks for answers below its own inbox prefix", async () => {
    const transport = await connectNats({ url: server.url, name: "asker" });
    const other = await connectNats({ url: server.url, name: "other", inboxPrefix: "_INBOX.chosen" });
    const inboxes: string[] = [];
    transport.subscribe("_INBOX.>", ({ subject }) => void inboxes.push(subject.split(".")[1]!));
    transport.subscribe("ask", (message) => message.respond(body("")));
    await transport.flush();
    for (const client of [transport, other]) await client.request("ask", body(""), { timeoutMs: 5000 });
    await transport.flush();
    expect(inboxes).toEqual(["asker", "chosen"]);
    await Promise.all([transport.close(), other.close()]);
  });
});
