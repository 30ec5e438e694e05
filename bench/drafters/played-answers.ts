import type { DeviceModel } from "../../cli/device-model.ts";
import { PipelineCosts } from "../../decoding/costs.ts";
import type { SessionTrace } from "../acceptance-trace.ts";
import { REFERENCE } from "../result.ts";
import type { DrafterCosts } from "../simulator/drafter.ts";
import { playTrace } from "../simulator/guess.ts";
import { simulate } from "../simulator/simulate.ts";
import type { BenchDraftersOptions } from "./bench-drafters-options.ts";
import type { PlayedResult } from "./drafter-result.ts";

export interface PlayedDrafter {
  readonly traces: readonly SessionTrace[];
  /** What it was measured to cost; absent: the simulator's own figures. */
  readonly costs?: DrafterCosts | undefined;
  /** Layers that it reads. */
  readonly taps: number;
  /** Numbers a hidden row of the target. */
  readonly hidden: number;
}

/** Plays what a drafter guessed with each policy on each device, all answers together and kind by kind. */
export function playAnswers(
  { traces, costs: drafter, taps, hidden }: PlayedDrafter,
  options: Pick<BenchDraftersOptions, "policies" | "stages" | "link">,
  devices: readonly DeviceModel[],
): PlayedResult[] {
  const { policies, stages, link } = options;
  return [...Map.groupBy(traces, ({ temperature }) => temperature)].flatMap(([temperature, own]) => {
    const kinds = new Set(own.map(({ kind }) => kind));
    const parts = [
      { sessions: own },
      ...Array.from(kinds, (kind) => ({ kind, sessions: own.filter((trace) => trace.kind === kind) })),
    ].map(({ sessions, ...rest }) => ({ ...rest, sessions: sessions.map(playTrace) }));
    return devices.flatMap((device) => {
      const costs = new PipelineCosts(Array.from({ length: stages }, () => device.costs));
      return parts.flatMap(({ sessions, ...kind }) => {
        const play = (policy: string) =>
          simulate({ sessions, policy, costs, link, taps, hidden, ...(drafter && { drafter }) });
        const plain = play(REFERENCE).tokensPerSecond;
        return policies.map((policy) => {
          const { tokensPerCommit, missShare, tokensPerSecond } = play(policy);
          const where = { temperature, device: device.name, link: link.name, policy, ...kind };
          return { ...where, tokensPerCommit, missShare, ratio: tokensPerSecond / plain };
        });
      });
    });
  });
}
