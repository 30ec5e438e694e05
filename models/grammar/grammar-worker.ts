import { loadModelText } from "../model-text.ts";
import { SerialQueue } from "../serial-queue.ts";
import { serveCalls } from "../serve-calls.ts";
import { GrammarEngine } from "./grammar-engine.ts";
import type { GrammarAnswers, GrammarCall } from "./grammar-protocol.ts";

let engine: GrammarEngine | undefined;

async function perform(call: GrammarCall): Promise<GrammarAnswers[keyof GrammarAnswers]> {
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
}

/** One call after the other: matchers are not made for two at once. */
const queue = new SerialQueue();
serveCalls({ perform: (call: GrammarCall) => queue.run(() => perform(call)) });
