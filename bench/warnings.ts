import { availableParallelism } from "node:os";
import type { BenchOptions } from "./bench-options.ts";
import { paceWarnings } from "./pace-warnings.ts";
import { TIME_KINDS } from "./profile.ts";
import { type Scenario, scenarioName } from "./result.ts";

/** More of the paced time than this, and stages that share a core disturb each other. */
const COMPUTE_SHARE_MAX = 0.6;
/** What the framework may add to the time of a token. */
const FRAMEWORK_SHARE_MAX = 0.05;

/** What a reader should know before believing the figures. */
export function warningsOf(scenarios: readonly Scenario[], { stages }: BenchOptions): string[] {
  return scenarios.flatMap((scenario) => {
    const found =
      scenario.device === "real"
        ? sharedCores(stages)
        : [...computeShare(scenario), ...paceWarnings(scenario.actors), ...frameworkShare(scenario)];
    return found.map((text) => `${scenarioName(scenario)}: ${text}`);
  });
}

function sharedCores(stages: number): string[] {
  const cores = availableParallelism();
  return stages < cores
    ? []
    : [
        `${stages} stages, the drafter and the bench share ${cores} cores, so that dead work takes time from live work`,
      ];
}

function computeShare({ runs }: Scenario): string[] {
  const byPolicy = [...Map.groupBy(runs, ({ policy }) => policy)];
  return byPolicy.flatMap(([policy, own]) => {
    const busyMs = own.reduce((sum, run) => sum + run.busyMs, 0);
    const share = own.reduce((sum, run) => sum + run.computeMs, 0) / busyMs;
    if (share < COMPUTE_SHARE_MAX) return [];
    const found = `the real model took ${(100 * share).toFixed(0)} % of the paced time with ${policy}`;
    return [`${found}; only below ${100 * COMPUTE_SHARE_MAX} % do stages not disturb each other`];
  });
}

function frameworkShare({ profiles }: Scenario): string[] {
  return profiles.flatMap(({ policy, temperature, profile: { ms } }) => {
    const share = ms.framework / TIME_KINDS.reduce((sum, kind) => sum + ms[kind], 0);
    if (share < FRAMEWORK_SHARE_MAX) return [];
    const found = `${(100 * share).toFixed(1)} % of the time, above ${100 * FRAMEWORK_SHARE_MAX} %`;
    return [`the framework takes ${found}, with ${policy} at temperature ${temperature}`];
  });
}
