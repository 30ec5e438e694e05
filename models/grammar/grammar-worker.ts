import { type MessagePort, parentPort } from "node:worker_threads";
import { loadModelText } from "../model-text.ts";
import type { WorkerFailure } from "../worker-calls.ts";
import { GrammarEngine } from "./grammar-engine.ts";
import type { GrammarAnswers, GrammarCall, GrammarRequest, GrammarResponse } from "./grammar-protocol.ts";

/** Answers one request after the other: matchers are not made for two at once. */
function serve(port: MessagePort): void {
  let engine: GrammarEngine | undefined;
  const perform = async (call: GrammarCall): Promise<GrammarAnswers[keyof GrammarAnswers]> => {
    if (call.kind === "open") {
      engine = await GrammarEngine.open((await loadModelText(call.modelPath)).tokenizer);
    } else if (engine === undefined) {
      throw new Error("the grammar worker was not opened");
    } else if (call.kind === "next") {
      return await engine.next(call.session, call.rule, call.answer);
    } else if (call.kind === "release") {
      engine.release(call.session);
    }
    return undefined;
  };
  let last: Promise<void> = Promise.resolve();
  port.on("message", ({ id, call }: GrammarRequest) => {
    const respond = (response: GrammarResponse) => port.postMessage(response);
    last = last.then(() =>
      perform(call).then(
        (answer) => respond({ id, answer }),
        (error: unknown) => respond({ id, failure: failureOf(error) }),
      ),
    );
  });
}

/** What the WebAssembly module throws is often no Error. */
const failureOf = (error: unknown): WorkerFailure =>
  error instanceof Error
    ? { name: error.name, message: error.message }
    : { name: "Error", message: String(error) };

if (!parentPort) throw new Error("grammar-worker.ts is started as a worker by GrammarMasks");
serve(parentPort);
