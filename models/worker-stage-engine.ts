import type { NodeId, TokenId } from "../decoding/ids.ts";
import type { PathCounts } from "../decoding/path-tokens.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";
import { KvBudgetError } from "./kv-cache.ts";
import type {
  DrawnToken,
  DrawWishes,
  StageEngine,
  StageResult,
  StageRun,
  StageUsage,
} from "./stage-engine.ts";
import { WorkerCalls } from "./worker-calls.ts";
import type { StageAnswers, StageCall, StageEngineOptions, StageFailure } from "./worker-protocol.ts";

/**
 * Loads a compiled stage in a worker of its own.
 * @throws when the folder holds no intact stage.
 */
export async function startStageEngine(options: StageEngineOptions): Promise<WorkerStageEngine> {
  const engine = new WorkerStageEngine();
  try {
    await engine.open(options);
    return engine;
  } catch (error) {
    await engine.terminate();
    throw error;
  }
}

/** A stage whose model runs in a worker, so that this thread stays free while it computes. */
export class WorkerStageEngine implements StageEngine {
  readonly #calls: WorkerCalls<StageCall, StageAnswers, StageFailure>;

  #arithmetic = "";

  /** `script` is another program than the stage's only in tests. */
  constructor(script = new URL("./stage-worker.ts", import.meta.url)) {
    const revive = ({ kvBytes }: StageFailure) =>
      kvBytes && new KvBudgetError(kvBytes.needed, kvBytes.budget);
    this.#calls = new WorkerCalls({ script, what: "the stage", revive });
  }

  /** Resolves when the worker has ended: with undefined after `close`, else with the reason. */
  get ended(): Promise<Error | undefined> {
    return this.#calls.ended;
  }

  /** See `arithmeticName`. */
  get arithmetic(): string {
    return this.#arithmetic;
  }

  async open(options: StageEngineOptions): Promise<void> {
    this.#arithmetic = await this.#calls.ask<"open">({ kind: "open", options });
  }

  run(run: StageRun): Promise<StageResult> {
    return this.#calls.ask<"run">({ kind: "run", run });
  }

  async commit(session: string, accepted: readonly NodeId[], next: TokenId): Promise<void> {
    await this.#calls.ask<"commit">({ kind: "commit", session, accepted, next });
  }

  nextToken(
    hiddenRow: Float32Array,
    sampling: SamplingParams,
    position: number,
    counts: PathCounts,
    wishes: DrawWishes = {},
  ): Promise<DrawnToken> {
    return this.#calls.ask<"nextToken">({ kind: "nextToken", hiddenRow, sampling, position, counts, wishes });
  }

  begin(session: string, prefix: Uint32Array): Promise<number> {
    return this.#calls.ask<"begin">({ kind: "begin", session, prefix });
  }

  async keep(session: string): Promise<void> {
    await this.#calls.ask<"keep">({ kind: "keep", session });
  }

  async release(session: string): Promise<void> {
    await this.#calls.ask<"release">({ kind: "release", session });
  }

  usage(): Promise<StageUsage> {
    return this.#calls.ask<"usage">({ kind: "usage" });
  }

  close(): Promise<void> {
    return this.#calls.close({ kind: "close" });
  }

  /** Ends the worker at once; calls that wait are rejected. */
  terminate(): Promise<void> {
    return this.#calls.terminate();
  }
}
