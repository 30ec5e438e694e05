import type { PipelineCosts } from "../decoding/costs.ts";
import type { LinkModel } from "../transport/link-model.ts";
import type { AcceptanceTrace } from "./acceptance-trace.ts";
import type { Contender, MeasuredRun, Scenario } from "./result.ts";
import { playTrace } from "./simulator/guess.ts";
import { simulate } from "./simulator/simulate.ts";

/** What the simulator says of a contender, for the same prompts on the same stages and links. */
export interface Prediction {
  readonly policy: string;
  readonly temperature: number;
  readonly tokensPerSecond: number;
}

export interface PredictionOptions {
  /** Of the prompts that are measured. */
  readonly trace: AcceptanceTrace;
  readonly costs: PipelineCosts;
  readonly link: LinkModel;
}

export function predict(
  contenders: readonly Contender[],
  { trace, costs, link }: PredictionOptions,
): Prediction[] {
  return [...Map.groupBy(trace.sessions, ({ temperature }) => temperature)].flatMap(([temperature, own]) => {
    const sessions = own.map(playTrace);
    return contenders.map(({ label, spec }) => {
      const { tokensPerSecond } = simulate({ sessions, policy: spec, costs, link });
      return { policy: label, temperature, tokensPerSecond };
    });
  });
}

/** Beside what was measured: all tokens by all time of the first turns, which are what a trace holds. */
export function comparePredictions({ runs, predictions }: Scenario): (Prediction & {
  readonly measuredTokensPerSecond: number;
})[] {
  return predictions.map((prediction) => {
    const own = runs.filter(
      ({ policy, temperature, turn }) =>
        policy === prediction.policy && temperature === prediction.temperature && turn === 1,
    );
    const sum = (read: (run: MeasuredRun) => number) => own.reduce((all, run) => all + read(run), 0);
    const measuredTokensPerSecond = (sum((run) => run.decodedTokens) / sum((run) => run.decodeMs)) * 1000;
    return { ...prediction, measuredTokensPerSecond };
  });
}
