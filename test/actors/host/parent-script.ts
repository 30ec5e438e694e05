/** A host process for the tests: starts a child and a nats-server, prints their ids, then only waits. */
import { join } from "node:path";
import { ChildProcess } from "../../../actors/host/child-process.ts";
import { NatsServerProcess } from "../../../actors/host/nats-server-process.ts";
import { systemClock } from "../../../actors/runtime/clock.ts";
import { silentLog } from "../../../actors/runtime/log.ts";
import type { ScriptSpec } from "./child-script.ts";

const [program = "", folder = ""] = process.argv.slice(2);
const spec: ScriptSpec = { behaviour: "ignore-stop" };
const child = await ChildProcess.start({
  name: "stage-0",
  command: [process.execPath, join(import.meta.dir, "child-script.ts")],
  spec,
  log: silentLog,
  clock: systemClock,
});
const server = await NatsServerProcess.start({
  program,
  folder,
  host: "127.0.0.1",
  port: 0,
  serverName: "flowmesh-orphan-test",
  log: silentLog,
  clock: systemClock,
});
process.stdout.write(
  `${JSON.stringify({ child: child.pid, guard: server.pid, port: server.payload.port })}\n`,
);
setInterval(() => {}, 1_000);
