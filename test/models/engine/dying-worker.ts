import { parentPort } from "node:worker_threads";
import type { WorkerRequest } from "../../../models/worker-calls.ts";
import type { StageCall } from "../../../models/worker-protocol.ts";

/** A stage worker that opens, leaves `usage` unanswered, and dies in the way that the session's name says. */
parentPort!.on("message", ({ id, call }: WorkerRequest<StageCall>) => {
  if (call.kind === "open") parentPort!.postMessage({ id, answer: undefined });
  if (call.kind === "release" && call.session === "exit") process.exit(3);
  if (call.kind === "release" && call.session === "throw") throw new Error("out of luck");
});
