import { rename } from "node:fs/promises";
import { readDeviceModel } from "../../cli/device-model.ts";
import { UsageError } from "../../cli/usage-error.ts";
import type { NamedLink } from "../../transport/link-model.ts";
import { readTrace, SHIPPED_TRACE } from "../acceptance-trace.ts";
import { type PlayedSession, playTrace } from "./guess.ts";
import { playScenario } from "./scenario.ts";
import { renderOverview, renderSimulation, type Simulated } from "./simulation-report.ts";
import { SYNTHETIC_DRAFTERS, type SyntheticName, syntheticSessions } from "./synthetic-trace.ts";

/** `flowmesh simulate`, as asked for on the command line; every value has passed its option's check. */
export interface SimulateOptions {
  /** Acceptance trace to play; absent: the one that comes along. */
  readonly trace?: string;
  /** Of a trace, the sessions at these temperatures. */
  readonly temperatures: readonly number[];
  /** Made-up sessions instead of recorded ones. */
  readonly synthetic?: SyntheticName;
  /** Made-up sessions. */
  readonly count: number;
  readonly seed: number;
  readonly policies: readonly string[];
  readonly tune: boolean;
  readonly stages: readonly number[];
  readonly devices: readonly string[];
  readonly links: readonly NamedLink[];
  /** Sessions at once. */
  readonly sessions: number;
  /** Longest answer. */
  readonly tokens: number;
  readonly out?: string;
}

/** Plays the sessions with each policy on each kind of pipeline, and writes a report. Throws UsageError. */
export async function runSimulations(options: SimulateOptions): Promise<void> {
  const sessions = await readSessions(options);
  const { policies, tune, sessions: concurrent, tokens: maxTokens } = options;
  const scenarios: Simulated[] = [];
  for (const device of options.devices) {
    const { name, costs } = await readDeviceModel(device);
    for (const link of options.links) {
      for (const stages of options.stages) {
        const scenario = { sessions, policies, tune, stages, costs, link, concurrent, maxTokens };
        scenarios.push({ device: name, link: link.name, stages, rows: playScenario(scenario) });
      }
    }
  }
  if (options.out !== undefined) await writeResult(options.out, { options, scenarios });
  const overview = scenarios.length > 1 ? [renderOverview(scenarios)] : [];
  console.log([describeSessions(options), ...scenarios.map(renderSimulation), ...overview].join("\n\n"));
}

async function readSessions(options: SimulateOptions): Promise<PlayedSession[]> {
  const { trace = SHIPPED_TRACE, synthetic, count, tokens, seed, temperatures } = options;
  if (synthetic !== undefined) {
    return syntheticSessions({ drafter: SYNTHETIC_DRAFTERS[synthetic], sessions: count, tokens, seed });
  }
  const all = (await readTrace(trace)).sessions;
  const chosen = all.filter(({ temperature }) => temperatures.includes(temperature));
  if (chosen.length > 0) return chosen.map(playTrace);
  const known = [...new Set(all.map(({ temperature }) => temperature))].join(", ");
  throw new UsageError(
    `${trace} has no session at temperature ${temperatures.join(", ")}; it has: ${known}.`,
  );
}

function describeSessions({ trace, temperatures, synthetic, ...options }: SimulateOptions): string {
  const { count, seed, tokens, sessions } = options;
  const recorded = `sessions of ${trace ?? "the trace that comes along"} at temperature ${temperatures.join(", ")}`;
  const madeUp = `${count} made-up sessions (drafter ${synthetic}, seed ${seed})`;
  return `Simulated: ${synthetic === undefined ? recorded : madeUp}; up to ${tokens} tokens each, ${sessions} at once`;
}

/** Written aside and renamed, so that the file is never half of a result. */
async function writeResult(path: string, result: unknown): Promise<void> {
  const aside = `${path}.partial`;
  await Bun.write(aside, `${JSON.stringify(result, null, 1)}\n`);
  await rename(aside, path);
}
