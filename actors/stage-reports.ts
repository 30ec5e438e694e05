import { differ, LiveCosts } from "../models/live-costs.ts";
import type { CostTable } from "../models/stage-engine.ts";
import { eventSubject } from "../transport/subjects.ts";
import type { Transport } from "../transport/transport.ts";
import { encodeJson, type StageCostsMessage, type StageWorkMessage } from "./messages.ts";
import type { Clock } from "./runtime/clock.ts";
import type { StageWork } from "./stage.ts";

export interface StageReportsOptions {
  readonly mesh: string;
  readonly epoch: number;
  readonly stage: number;
  readonly transport: Transport;
  readonly clock: Clock;
  /** A table that holds, or one that the stage's own segments keep true. */
  readonly costs: CostTable | LiveCosts;
  /** Where to tell of segments, if anybody wants to know. */
  readonly work: WorkReports;
}

export interface WorkReports {
  /** Not behind a shaped link: the reports would use it up. */
  readonly transport: Transport;
  /** Time of the host's wall clock at which the stage's clock shows 0. */
  readonly timeOriginMs: number;
  /** Tell of each segment; else of those only whose session is watched. */
  readonly always: boolean;
}

/** An entry that moved by less since the table was last told is no news. */
const NEWS_SHARE = 0.1;
const NEWS_EVERY_MS = 1000;

/** Tells the mesh what segments cost a stage, and what it did with each of them. */
export class StageReports {
  readonly #options: StageReportsOptions;
  #told: CostTable;
  #toldAtMs: number;

  /** Tells the costs once, so the stage should be up. */
  constructor(options: StageReportsOptions) {
    this.#options = options;
    this.#told = this.costs;
    this.#toldAtMs = options.clock.now();
    this.#tellCosts();
  }

  get costs(): CostTable {
    const { costs } = this.#options;
    return costs instanceof LiveCosts ? costs.table : costs;
  }

  /** To be called with each segment that the stage has passed on. */
  worked(segment: StageWork, watched: boolean): void {
    const { mesh, epoch, stage, costs, work } = this.#options;
    if (costs instanceof LiveCosts) this.#learn(costs, segment);
    if (!work.always && !watched) return;
    const message: StageWorkMessage = {
      epoch,
      stage,
      ...segment,
      beginMs: work.timeOriginMs + segment.beginMs,
      endMs: work.timeOriginMs + segment.endMs,
    };
    work.transport.publish(eventSubject(mesh, "work"), encodeJson(message));
  }

  #learn(costs: LiveCosts, { nodes, computeMs }: StageWork): void {
    costs.observe(nodes.length, computeMs);
    const nowMs = this.#options.clock.now();
    if (nowMs - this.#toldAtMs < NEWS_EVERY_MS || !differ(costs.table, this.#told, NEWS_SHARE)) return;
    this.#told = costs.table;
    this.#toldAtMs = nowMs;
    this.#tellCosts();
  }

  #tellCosts(): void {
    const { mesh, epoch, stage, transport } = this.#options;
    const message: StageCostsMessage = { epoch, stage, costs: [...this.costs] };
    transport.publish(eventSubject(mesh, "costs"), encodeJson(message));
  }
}
