import { parentPort } from "node:worker_threads";
import type { WorkerFailure, WorkerRequest, WorkerResponse } from "./worker-calls.ts";

export interface ServedCalls<Call, Answer, Failure extends WorkerFailure, Part> {
  /** Several may run at the same time. `tell`: of what the caller hears before the answer. */
  perform(call: Call, tell: (part: Part) => void): Promise<Answer>;
  /** What is told of an error beside its name and message, so that `WorkerCalls` can make its class again. */
  detailOf?(error: Error): Omit<Failure, keyof WorkerFailure> | undefined;
  /** Large arrays of the answer, which are moved, not copied. */
  buffersOf?(call: Call, answer: Answer): ArrayBuffer[];
}

/** Answers, in the worker's own thread, what `WorkerCalls` asks in the one that started it. */
export function serveCalls<Call, Answer, Failure extends WorkerFailure = WorkerFailure, Part = never>(
  served: ServedCalls<Call, Answer, Failure, Part>,
): void {
  const port = parentPort;
  if (!port) throw new Error("this program is a worker's: it is started by WorkerCalls");
  const respond = (response: WorkerResponse<Answer, Failure, Part>, buffers: ArrayBuffer[] = []) =>
    port.postMessage(response, buffers);
  port.on("message", async ({ id, call }: WorkerRequest<Call>) => {
    try {
      const answer = await served.perform(call, (part) => respond({ id, part }));
      respond({ id, answer }, served.buffersOf?.(call, answer));
    } catch (error) {
      // What WebAssembly throws is often no Error.
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      const detail = error instanceof Error ? served.detailOf?.(error) : undefined;
      respond({ id, failure: { name, message, ...detail } as Failure });
    }
  });
}
