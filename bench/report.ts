import { differentAnswers } from "./identity.ts";
import { actorTable, predictionTable, profileTable, speedTable, table, workTable } from "./report-tables.ts";
import { type BenchResult, type Scenario, scenarioName } from "./result.ts";
import type { PlotFile } from "./result-plots.ts";
import { tuningGrid } from "./tuning-grid.ts";

/** The bench's result as Markdown. Spreads are medians with quartiles. */
export function renderReport(
  result: BenchResult,
  plots: readonly Pick<PlotFile, "name" | "title">[],
): string {
  return [
    "# Benchmark",
    renderSetting(result),
    ...(result.warnings.length === 0
      ? []
      : ["## Warnings", result.warnings.map((warning) => `- ${warning}`).join("\n")]),
    ...plots.map(({ name, title }) => `![${title}](${name})`),
    ...result.scenarios.flatMap((scenario) => renderScenario(scenario, result)),
    "## Same answers",
    renderIdentity(result),
  ]
    .join("\n\n")
    .concat("\n");
}

function renderSetting({ options, command, machine, date, model, code, scenarios }: BenchResult): string {
  const { stages, tokens, repeats, numerics, drafter, seed } = options;
  const prompts = new Set(scenarios.flatMap(({ runs }) => runs.map(({ prompt }) => prompt))).size;
  return [
    "```sh",
    command,
    "```",
    "",
    `- ${date.slice(0, 10)}, ${machine}; code ${code}`,
    `- ${model}, ${stages} stages, numerics ${numerics}, drafter ${drafter}`,
    `- ${prompts} prompts × ${repeats} repeats, up to ${tokens} tokens an answer, seed ${seed}; policies take turns ` +
      "on one running mesh, the first round is not counted",
    "- figures are medians with quartiles, ratios are paired by prompt, turn and repeat; " +
      "[a, b] is a 95 % bootstrap interval over prompts",
    "- m: share of tokens whose node was not in flight when its parent was verified; " +
      "live: work on nodes that were committed in the end",
  ].join("\n");
}

function renderScenario(scenario: Scenario, { options, baseline }: BenchResult): string[] {
  return [
    `## ${sentence(scenarioName(scenario))}`,
    speedTable(scenario, baseline, options.seed),
    ...(options.tune ? [renderTuning(scenario)] : []),
    "What a token took:",
    workTable(scenario),
    ...(scenario.profiles.length === 0
      ? []
      : [
          "Where the time between commits goes, along each commit's critical path; `framework` is encoding, NATS, " +
            "event loops and timers:",
          profileTable(scenario),
        ]),
    ...(scenario.predictions.length === 0
      ? []
      : [
          "What the simulator says of the same prompts (first turns), with guesses that were recorded for it:",
          predictionTable(scenario),
        ]),
    "Processes:",
    actorTable(scenario),
  ];
}

function renderTuning({ contenders }: Scenario): string {
  const found = contenders.flatMap(({ label, spec }) => {
    if (label !== spec) return [`\`${label}\` is \`${spec}\``];
    const isBest = tuningGrid(spec) !== undefined && !contenders.some((other) => other.label === `${spec}*`);
    return isBest ? [`\`${spec}\` is fastest as it is`] : [];
  });
  return `Tuned by simulation of other prompts on such stages and links: ${found.join("; ")}.`;
}

const sentence = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

const DIFFERENCES_SHOWN_MAX = 20;

function renderIdentity({ scenarios }: BenchResult): string {
  const runs = scenarios.flatMap((scenario) => scenario.runs);
  const different = differentAnswers(runs);
  const summary = `${different.length} of ${runs.length} answers differ from plain decoding's.`;
  if (different.length === 0) return summary;
  const rows = different
    .slice(0, DIFFERENCES_SHOWN_MAX)
    .map(({ policy, prompt, turn, temperature, repeat, at }) => [
      `\`${policy}\``,
      prompt,
      ...[turn, temperature, repeat, at].map(String),
    ]);
  const head = ["policy", "prompt", "turn", "temperature", "repeat", "first token that differs"];
  return `${summary}\n\n${table(head, rows)}`;
}
