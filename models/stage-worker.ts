import { arithmeticName } from "./arithmetic.ts";
import { KvBudgetError } from "./kv-cache.ts";
import { LocalStageEngine } from "./local-stage-engine.ts";
import { OrtStageMath } from "./ort-stage-math.ts";
import { serveCalls } from "./serve-calls.ts";
import type { StageEngine } from "./stage-engine.ts";
import type {
  StageAnswer,
  StageAnswers,
  StageCall,
  StageEngineOptions,
  StageFailure,
} from "./worker-protocol.ts";

/** Owner of one stage's onnxruntime sessions, on a thread where nobody waits while they compute. */
class StageHost {
  #engine: Promise<StageEngine> | undefined;

  async perform(call: StageCall): Promise<StageAnswer> {
    if (call.kind === "open") {
      this.#engine = open(call.options);
      await this.#engine;
      return arithmeticName(call.options.threads);
    }
    if (!this.#engine) throw new Error("the stage was not opened");
    const stage = await this.#engine;
    switch (call.kind) {
      case "run":
        return stage.run(call.run);
      case "commit":
        await stage.commit(call.session, call.accepted, call.next);
        return undefined;
      case "nextToken":
        return stage.nextToken(call.hiddenRow, call.sampling, call.position, call.counts, call.wishes);
      case "begin":
        return stage.begin(call.session, call.prefix);
      case "keep":
        await stage.keep(call.session);
        return undefined;
      case "release":
        await stage.release(call.session);
        return undefined;
      case "usage":
        return stage.usage();
      case "close":
        await stage.close();
        return undefined;
    }
  }
}

async function open({ dir, threads, kvBudgetBytes }: StageEngineOptions): Promise<StageEngine> {
  return new LocalStageEngine(await OrtStageMath.open({ dir, threads }), kvBudgetBytes);
}

/** The large arrays of a result are moved, not copied. */
function buffersOf({ hidden, taps }: StageAnswers["run"]): ArrayBuffer[] {
  const buffers = new Set<ArrayBufferLike>([hidden.buffer, ...taps.map(({ rows }) => rows.buffer)]);
  return [...buffers].filter((buffer) => buffer instanceof ArrayBuffer);
}

const host = new StageHost();
serveCalls<StageCall, StageAnswer, StageFailure>({
  perform: (call) => host.perform(call),
  detailOf: (error) =>
    error instanceof KvBudgetError
      ? { kvBytes: { needed: error.neededBytes, budget: error.budgetBytes } }
      : undefined,
  buffersOf: (call, answer) => (call.kind === "run" ? buffersOf(answer as StageAnswers["run"]) : []),
});
