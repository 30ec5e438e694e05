import { PipelineCosts, type SegmentCosts } from "../../decoding/costs.ts";
import type { LinkModel } from "../../transport/link-model.ts";
import { REFERENCE } from "../result.ts";
import { tuningGrid } from "../tuning-grid.ts";
import type { PlayedSession } from "./guess.ts";
import { type SimulationResult, simulate } from "./simulate.ts";

/** One kind of pipeline, and what is played on it. */
export interface ScenarioOptions {
  readonly sessions: readonly PlayedSession[];
  readonly policies: readonly string[];
  /** Adds the policies that have a grid once more, with the setting of it that is fastest here. */
  readonly tune: boolean;
  readonly stages: number;
  /** Of each stage. */
  readonly costs: SegmentCosts;
  readonly link: LinkModel;
  readonly concurrent: number;
  readonly maxTokens: number;
}

export interface SimulatedRow {
  /** The policy as it was asked for; `name*` for the best setting of its grid. */
  readonly label: string;
  readonly result: SimulationResult;
}

/** Plays the same sessions with each policy, plain decoding first. */
export function playScenario({ stages, costs: table, ...options }: ScenarioOptions): SimulatedRow[] {
  const { sessions, link, concurrent, maxTokens } = options;
  const costs = new PipelineCosts(Array.from({ length: stages }, () => table));
  const play = (policy: string) => simulate({ sessions, policy, costs, link, concurrent, maxTokens });
  return [...new Set([REFERENCE, ...options.policies])].flatMap((policy) => {
    const row = { label: policy, result: play(policy) };
    const grid = options.tune ? tuningGrid(policy) : undefined;
    if (grid === undefined) return [row];
    const results = [row.result, ...grid.map(play)];
    return [row, { label: `${policy}*`, result: fastest(results) }];
  });
}

const fastest = (results: readonly SimulationResult[]): SimulationResult =>
  results.reduce((best, result) => (result.tokensPerSecond > best.tokensPerSecond ? result : best));
