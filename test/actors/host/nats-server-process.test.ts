import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "nats";
import { NatsServerProcess } from "../../../actors/host/nats-server-process.ts";
import { isPortFree } from "../../../actors/host/port-check.ts";
import { systemClock } from "../../../actors/runtime/clock.ts";
import { natsServerPath } from "../../nats-server-path.ts";
import { isAlive, waitUntilGone } from "./process-gone.ts";
import { RecordedLog } from "./recorded-log.ts";

let program: string;
let folder: string;
let log: RecordedLog;
const started: NatsServerProcess[] = [];

beforeAll(async () => {
  program = await natsServerPath();
  folder = await mkdtemp(join(tmpdir(), "flowmesh-nats-"));
});
afterEach(() => {
  for (const server of started.splice(0)) server.kill();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function start(port = 0, path = program): Promise<NatsServerProcess> {
  log = new RecordedLog();
  const where = { folder: join(folder, "run"), host: "127.0.0.1", port };
  const options = { program: path, serverName: "flowmesh-test", log, clock: systemClock, ...where };
  const server = await NatsServerProcess.start(options);
  started.push(server);
  return server;
}

/** Ids of the server and its guard's helpers, by their process group. */
async function groupOf(guard: number): Promise<number[]> {
  const ps = await Bun.$`ps -A -o pid= -o pgid= -o args=`.text();
  const rows = ps.split("\n").map((line) => line.trim().split(/\s+/));
  return rows.filter(([, group]) => Number(group) === guard).map(([pid]) => Number(pid));
}

describe("nats-server as a child", () => {
  test("accepts clients on a free port, with JetStream and a 1 MiB payload limit", async () => {
    const server = await start();
    const connection = await connect({ servers: server.payload.url });
    expect(connection.info).toMatchObject({
      server_name: "flowmesh-test",
      jetstream: true,
      max_payload: 1_048_576,
      host: "127.0.0.1",
      port: server.payload.port,
    });
    await connection.close();
  });

  test("stops when asked and leaves nothing running", async () => {
    const server = await start();
    const group = await groupOf(server.pid);
    expect(group.length).toBeGreaterThan(1);
    expect(await server.stop()).toMatchObject({ asked: true });
    await waitUntilGone(group);
    expect(isPortFree("127.0.0.1", server.payload.port)).toBe(true);
  });

  test("is started again on the port it had", async () => {
    const first = await start();
    const { port } = first.payload;
    first.kill();
    expect(await first.exited).toMatchObject({ asked: false });
    const second = await start(port);
    expect(second.payload.port).toBe(port);
  });

  test("its crash is seen at once, with its last words", async () => {
    const server = await start();
    const pid = (await groupOf(server.pid)).find((candidate) => candidate !== server.pid);
    const names = await Bun.$`ps -o comm= -p ${pid}`.text();
    expect(names.trim()).toBe("nats-server");
    process.kill(pid ?? 0, "SIGKILL");
    expect(await server.exited).toMatchObject({ code: 137, asked: false });
  });

  test("says why it could not start", async () => {
    const holder = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    try {
      await expect(start(holder.port)).rejects.toThrow(
        /nats-server did not start: .*address already in use/s,
      );
    } finally {
      holder.stop(true);
    }
    await expect(start(0, "/nonexistent/nats-server")).rejects.toThrow(
      /nats-server did not start: .*not found/s,
    );
  });
});

test("a parent that is killed leaves neither its child nor the nats-server running", async () => {
  const script = join(import.meta.dir, "parent-script.ts");
  const home = join(folder, "orphan");
  const parent = Bun.spawn([process.execPath, script, program, home], { stdout: "pipe", stderr: "inherit" });
  const reader = parent.stdout.getReader();
  const { value } = await reader.read();
  const ids: { child: number; guard: number; port: number } = JSON.parse(new TextDecoder().decode(value));
  const group = await groupOf(ids.guard);
  expect([ids.child, ...group].every(isAlive)).toBe(true);
  parent.kill("SIGKILL");
  await parent.exited;
  await waitUntilGone([ids.child, ...group]);
  expect(isPortFree("127.0.0.1", ids.port)).toBe(true);
  expect(await readdir(home)).toContain("nats-server.conf");
});
