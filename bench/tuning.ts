import type { PipelineCosts } from "../decoding/costs.ts";
import type { LinkModel } from "../transport/link-model.ts";
import type { AcceptanceTrace } from "./acceptance-trace.ts";
import type { Contender } from "./result.ts";
import { playTrace } from "./simulator/guess.ts";
import { simulate } from "./simulator/simulate.ts";
import { tuningGrid } from "./tuning-grid.ts";

export interface TuningOptions {
  readonly trace: AcceptanceTrace;
  readonly costs: PipelineCosts;
  readonly link: LinkModel;
}

/**
 * The policies that have a grid once more, each with those parameters that are fastest in the simulator for
 * these stages and links. A policy that is fastest as it is gets no second contender.
 */
export async function tunedContenders(
  policies: readonly string[],
  { trace, costs, link }: TuningOptions,
): Promise<Contender[]> {
  const sessions = trace.sessions.map(playTrace);
  const contenders: Contender[] = [];
  for (const policy of policies) {
    let best = { spec: policy, tokensPerSecond: Number.NEGATIVE_INFINITY };
    for (const spec of [policy, ...(tuningGrid(policy) ?? [])]) {
      // Lets a stop signal through.
      await Bun.sleep(0);
      const { tokensPerSecond } = simulate({ sessions, policy: spec, costs, link });
      if (tokensPerSecond > best.tokensPerSecond) best = { spec, tokensPerSecond };
    }
    if (best.spec !== policy) contenders.push({ label: `${policy}*`, spec: best.spec });
  }
  return contenders;
}
