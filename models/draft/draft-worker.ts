import { serveCalls } from "../serve-calls.ts";
import { DraftContextError } from "./draft-context-error.ts";
import type {
  DraftAnswer,
  DraftCall,
  DraftFailure,
  DraftPart,
  HeadEngineOptions,
} from "./draft-worker-protocol.ts";
import { HeadDraftEngine } from "./head-draft-engine.ts";
import { OrtHeadModel } from "./ort-head-model.ts";

async function open({ dir, threads, withNgrams }: HeadEngineOptions): Promise<HeadDraftEngine> {
  return new HeadDraftEngine(await OrtHeadModel.open(dir, threads), { withNgrams });
}

async function perform(
  engine: HeadDraftEngine,
  call: DraftCall,
  tell: (part: DraftPart) => void,
): Promise<DraftAnswer> {
  switch (call.kind) {
    case "open":
      return engine.taps;
    case "begin":
      await engine.begin(call.session, call.tokens, call.promptTokens);
      return undefined;
    case "takeOver":
      return engine.takeOver(call.session, call.rows);
    case "keep":
      await engine.keep(call.session);
      return undefined;
    case "extend":
      await engine.extend(call.context);
      return undefined;
    case "expand":
      return engine.expand(call.request, call.tells ? tell : undefined);
    case "release":
      await engine.release(call.session);
      return undefined;
    case "close":
      await engine.close();
      return undefined;
  }
}

let opening: Promise<HeadDraftEngine> | undefined;
serveCalls<DraftCall, DraftAnswer, DraftFailure, DraftPart>({
  async perform(call, tell) {
    if (call.kind === "open") opening = open(call.options);
    if (opening === undefined) throw new Error("the draft engine was not opened");
    return perform(await opening, call, tell);
  },
  detailOf: (error) =>
    error instanceof DraftContextError
      ? { context: { session: error.session, problem: error.problem } }
      : undefined,
});
