import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderNatsConfig } from "../../../actors/host/nats-server-config.ts";
import { connectMesh } from "../../../cli/connect-mesh.ts";
import { connectNats, type NatsTransport } from "../../../transport/nats.ts";
import { openNatsBlobStore } from "../../../transport/nats-blob-store.ts";
import { openNatsKeyValue } from "../../../transport/nats-key-value.ts";
import type { Role } from "../../../transport/permissions.ts";
import { startNatsServer, type TestNatsServer } from "../../nats-server.ts";

/**
 * Who may publish (p) and subscribe (s) what, written by hand and not from the table that configures the
 * server. In order: member, gateway, tree, stage, drafter, observer.
 */
const ROLES: readonly Role[] = ["member", "gateway", "tree", "stage", "drafter", "observer"];
const EXPECTED: Readonly<Record<string, string>> = {
  "flow.home.session.s1.open": "ps p s - - s",
  "flow.home.session.s1.commit": "ps s s ps s s",
  "flow.home.session.s1.cancel": "ps p s - - s",
  "flow.home.session.s1.end": "ps s p s s s",
  "flow.home.session.s1.journal": "ps p s - p s",
  "flow.home.e3.stage.0.s1": "ps s p ps - s",
  "flow.home.e3.draft.s1": "ps - p p s s",
  "flow.home.e3.draft-phrases.s1": "ps - p - - s",
  "flow.home.e3.tree.s1": "ps s s p p s",
  "flow.home.drafter.phrases": "ps p - - - s",
  "flow.home.event.up": "ps s s p p s",
  "flow.home.event.costs": "ps s s p - s",
  "flow.home.event.work": "ps s - p - s",
  "flow.home.event.demand": "ps s p - - s",
  "flow.home.event.pipeline": "ps s - - - s",
  "flow.home.event.placement": "ps s s - - s",
  "flow.home.event.host": "ps s - - - s",
  "flow.home.host.attic.drain": "ps - - - - s",
  "flow.home.weights": "ps - - - - s",
  "$SRV.PING": "ps ps s s s p",
  "$SRV.STATS.stage.x": "ps ps s s s p",
  "$KV.flow_home.placement": "p - - - - -",
  "$O.flow_home_weights.M.x": "p - - - - -",
  "$JS.API.STREAM.CREATE.KV_flow_home": "p - - - - -",
  "$JS.API.STREAM.DELETE.KV_flow_home": "p - - - - -",
  "$JS.API.STREAM.INFO.KV_flow_home": "p - - - - p",
  "_INBOX.gateway.other": "s s - - - s",
  "_INBOX.stage.other": "s - - s - s",
  "$SYS.REQ.SERVER.PING": "- - - - - -",
  "app.greet.now": "ps - - - - s",
  elsewhere: "- - - - - -",
};

const TOKEN = "the mesh's token";
const TIMEOUT_MS = 60_000;
let folder = "";
let server: TestNatsServer;

async function startServer(name: string, token?: string): Promise<TestNatsServer> {
  const path = join(folder, `${name}.conf`);
  const config = { serverName: name, host: "127.0.0.1", port: 0, folder: join(folder, name) };
  await Bun.write(path, renderNatsConfig({ ...config, ...(token !== undefined && { token }) }));
  return startNatsServer({ args: ["-c", path] });
}

const joinAs = (role: Role, url: string, token?: string): Promise<NatsTransport> =>
  connectMesh(
    { url, ...(token !== undefined && { token }) },
    { name: `test-${role}`, role, waitOnFirstConnect: false },
  );

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "flowmesh-permissions-"));
  server = await startServer("walled", TOKEN);
}, TIMEOUT_MS);
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

/** Which of the subjects the server lets this connection publish to and subscribe to, by what it complains of. */
async function allowed(transport: NatsTransport): Promise<Record<string, string>> {
  const refused = new Set<string>();
  const { connection } = transport;
  void (async () => {
    for await (const status of connection.status()) {
      if (status.type !== "error") continue;
      const [, what, subject] =
        /Violation for (Publish|Subscription) to "([^"]+)"/i.exec(status.error.message) ?? [];
      if (what !== undefined) refused.add(`${what.toLowerCase() === "publish" ? "p" : "s"} ${subject}`);
    }
  })();
  for (const subject of Object.keys(EXPECTED)) {
    connection.subscribe(subject, { callback: () => {} });
    connection.publish(subject);
  }
  await connection.flush();
  await connection.flush();
  return Object.fromEntries(
    Object.keys(EXPECTED).map((subject) => {
      const may = ["p", "s"].filter((what) => !refused.has(`${what} ${subject}`)).join("");
      return [subject, may === "" ? "-" : may];
    }),
  );
}

for (const [column, role] of ROLES.entries()) {
  test(`${role}: what it may publish and subscribe`, async () => {
    const transport = await joinAs(role, server.url, TOKEN);
    const expected = Object.entries(EXPECTED).map(([subject, row]) => [subject, row.split(" ")[column]]);
    expect(await allowed(transport)).toEqual(Object.fromEntries(expected));
    await transport.close();
  });
}

test(
  "members write records and weights; an observer reads records",
  async () => {
    const member = await joinAs("member", server.url, TOKEN);
    const store = await openNatsKeyValue(member, "flow_real");
    const bytes = new Uint8Array(300_000).fill(7);
    const revision = await store.create("mesh", bytes.slice(0, 10));
    await store.update("mesh", bytes.slice(0, 20), revision);
    const blobs = await openNatsBlobStore(member, "flow_real_weights");
    await blobs.put("part", bytes);
    expect(await blobs.get("part")).toEqual(bytes);
    const observer = await joinAs("observer", server.url, TOKEN);
    const read = await observer.connection.request(
      "$JS.API.STREAM.MSG.GET.KV_flow_real",
      JSON.stringify({ last_by_subj: "$KV.flow_real.mesh" }),
    );
    expect(read.json<{ message: { data: string } }>().message.data).toBe(
      Buffer.from(bytes.slice(0, 20)).toString("base64"),
    );
    await Promise.all([member.close(), observer.close()]);
  },
  TIMEOUT_MS,
);

test(
  "who is asked may answer, though it may not publish there",
  async () => {
    const [stage, gateway] = await Promise.all([
      joinAs("stage", server.url, TOKEN),
      joinAs("gateway", server.url, TOKEN),
    ]);
    stage.subscribe("$SRV.PING.stage", (message) => message.respond(new Uint8Array([1])));
    await stage.flush();
    const { body } = await gateway.request("$SRV.PING.stage", new Uint8Array(0), { timeoutMs: 5000 });
    expect([...body]).toEqual([1]);
    await Promise.all([stage.close(), gateway.close()]);
  },
  TIMEOUT_MS,
);

test(
  "a wrong token and none are refused; without a token, whoever comes is a member",
  async () => {
    await expect(joinAs("member", server.url, "wrong")).rejects.toThrow(/auth/i);
    await expect(connectNats({ url: server.url, name: "x", waitOnFirstConnect: false })).rejects.toThrow(
      /auth/i,
    );
    const open = await startServer("open");
    const plain = await connectNats({ url: open.url, name: "plain" });
    const expected = Object.entries(EXPECTED).map(([subject, row]) => [subject, row.split(" ")[0]]);
    expect(await allowed(plain)).toEqual(Object.fromEntries(expected));
    await plain.close();
    await open.stop();
  },
  TIMEOUT_MS,
);

test(
  "a server of the user's own looks at the token alone",
  async () => {
    const own = await startNatsServer({ args: ["--auth", "secret"] });
    const stage = await joinAs("stage", own.url, "secret");
    await stage.flush();
    await stage.close();
    await expect(joinAs("stage", own.url, "wrong")).rejects.toThrow(/auth/i);
    await own.stop();
  },
  TIMEOUT_MS,
);
