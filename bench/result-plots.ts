import { basename } from "node:path";
import { compare, tokensPerSecond } from "./comparison.ts";
import { type PolicyBar, renderPolicyBars } from "./plots/policy-bars.ts";
import { renderTimeLines, type TimeLine } from "./plots/time-line.ts";
import {
  type BenchResult,
  comparedWith,
  type MeasuredRun,
  REFERENCE,
  type Scenario,
  scenarioName,
} from "./result.ts";
import { quantile, type Spread, spreadOf } from "./statistics.ts";

/** A plot beside the report. */
export interface PlotFile {
  readonly name: string;
  readonly title: string;
  readonly svg: string;
}

/** A time line shows so many segments of the usual length. */
const SEGMENTS_SHOWN = 45;

export async function renderPlots(result: BenchResult): Promise<PlotFile[]> {
  const { scenarios, baseline, options } = result;
  const against = [REFERENCE, ...(baseline === undefined || baseline === REFERENCE ? [] : [baseline])];
  return [
    await rates(scenarios),
    ...(await Promise.all(against.map((policy) => ratios(scenarios, policy, options.seed)))),
    ...(await Promise.all(scenarios.flatMap((scenario) => timeLines(scenario)))),
  ];
}

async function rates(scenarios: readonly Scenario[]): Promise<PlotFile> {
  const bars = barsOf(scenarios, (runs) => spreadOf(runs.map(tokensPerSecond).filter(Number.isFinite)));
  const title = "Tokens a second after prefill";
  const subtitle = "medians over all answers; whiskers: quartiles";
  const svg = await renderPolicyBars(bars, { title, subtitle, axis: "tokens/s", digits: 1 });
  return { name: "rates.svg", title, svg };
}

async function ratios(scenarios: readonly Scenario[], baseline: string, seed: number): Promise<PlotFile> {
  const bars = barsOf(scenarios, (runs, all, scenario) => {
    const policy = comparedWith(scenario, baseline).at(-1);
    const theirs = all.filter((run) => run.policy === policy);
    return compare(runs, theirs, seed).paired;
  });
  const title = `Speed as a ratio to ${baseline}`;
  const subtitle = "of tokens/s, paired by prompt, turn and repeat: medians; whiskers: quartiles";
  const svg = await renderPolicyBars(bars, {
    title,
    subtitle,
    axis: `ratio to ${baseline}`,
    digits: 2,
    ruleAt: 1,
  });
  return { name: fileName("ratios", baseline), title, svg };
}

/** A bar for each contender at each temperature; `read` also gets all runs at that temperature. */
function barsOf(
  scenarios: readonly Scenario[],
  read: (runs: readonly MeasuredRun[], all: readonly MeasuredRun[], scenario: Scenario) => Spread,
): PolicyBar[] {
  return scenarios.flatMap((scenario) => {
    const byTemperature = [...Map.groupBy(scenario.runs, ({ temperature }) => temperature)];
    return byTemperature.flatMap(([temperature, all]) =>
      scenario.contenders.flatMap(({ label: policy }): PolicyBar[] => {
        const {
          median: value,
          lower,
          upper,
        } = read(
          all.filter((run) => run.policy === policy),
          all,
          scenario,
        );
        const bar = { policy, scenario: scenarioName(scenario), temperature, value, lower, upper };
        return Number.isFinite(value) ? [bar] : [];
      }),
    );
  });
}

/** One figure for each temperature: an answer of each contender, one below the other. */
function timeLines(scenario: Scenario): Promise<PlotFile>[] {
  const byTemperature = [...Map.groupBy(scenario.timeLines, ({ temperature }) => temperature)];
  return byTemperature.map(async ([temperature, lines]) => {
    const title = `Time line of one answer: ${scenarioName(scenario)}, temperature ${temperature}`;
    const subtitle =
      `prompt ${lines[0]?.prompt}; figures: nodes of a segment; ` +
      "a bar is split by its live and dead nodes; ticks above: commits";
    const svg = await renderTimeLines(lines, { title, subtitle, windowMs: windowMs(lines) });
    const name = fileName("time-line", basename(scenario.device, ".json"), scenario.link, `t${temperature}`);
    return { name, title, svg };
  });
}

function windowMs(lines: readonly TimeLine[]): number {
  const bars = lines.flatMap((line) => line.bars);
  const lengths = bars.map(({ beginMs, endMs }) => endMs - beginMs).sort((a, b) => a - b);
  const lastMs = Math.max(1, ...lines.flatMap(({ commitsMs }) => commitsMs));
  return Math.min(lastMs, SEGMENTS_SHOWN * (lengths.length === 0 ? lastMs : quantile(lengths, 0.5)));
}

/** "time-line-jetson-like-1ms-150mbit-t0.svg" */
function fileName(...parts: readonly string[]): string {
  const words = parts.map((part) => part.replaceAll(/[^\w.*-]+/g, "-"));
  return `${words.join("-").replaceAll("*", "-tuned")}.svg`;
}
