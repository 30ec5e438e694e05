import { type MessagePort, parentPort } from "node:worker_threads";
import { DraftContextError } from "./draft-context-error.ts";
import type {
  DraftAnswer,
  DraftCall,
  DraftFailure,
  DraftPart,
  DraftWorkerRequest,
  DraftWorkerResponse,
  HeadEngineOptions,
} from "./draft-worker-protocol.ts";
import { HeadDraftEngine } from "./head-draft-engine.ts";
import { OrtHeadModel } from "./ort-head-model.ts";

/** Answers the requests of the thread that started this one. */
function serve(port: MessagePort): void {
  let opening: Promise<HeadDraftEngine> | undefined;
  const respond = (response: DraftWorkerResponse) => port.postMessage(response);
  port.on("message", async ({ id, call }: DraftWorkerRequest) => {
    try {
      if (call.kind === "open") opening = open(call.options);
      if (opening === undefined) throw new Error("the draft engine was not opened");
      const answer = await perform(await opening, call, (part) => respond({ id, part }));
      respond({ id, answer });
    } catch (error) {
      respond({ id, failure: failureOf(error) });
    }
  });
}

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

function failureOf(error: unknown): DraftFailure {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message } = error;
  if (!(error instanceof DraftContextError)) return { name, message };
  return { name, message, context: { session: error.session, problem: error.problem } };
}

if (!parentPort) throw new Error("draft-worker.ts is started as a worker by WorkerDraftEngine");
serve(parentPort);
