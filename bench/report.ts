import type { BenchResult, Measured, Scenario } from "./bench.ts";
import { formatSpread, spreadOf } from "./statistics.ts";

const BASELINE = "autoregressive";

/** The bench's result as Markdown. Spreads are medians with quartiles. */
export function renderReport(result: BenchResult): string {
  const { stages, prompts, tokens, repeats, numerics, preset, drafter } = result.options;
  const setup = `${stages} stages, numerics ${numerics}, preset ${preset}, drafter ${drafter}`;
  const amount = `${prompts} prompts × ${repeats} repeats, up to ${tokens} tokens`;
  return [
    `${result.machine}; ${setup}; ${amount}; ${result.date.slice(0, 10)}`,
    ...result.scenarios.flatMap((scenario) => renderScenario(scenario)),
    renderHops(result),
  ].join("\n\n");
}

function renderScenario({ device, runs, actors }: Scenario): string[] {
  const temperatures = [...new Set(runs.map(({ temperature }) => temperature))];
  const rows = temperatures.flatMap((temperature) => {
    const own = runs.filter((run) => run.temperature === temperature);
    const policies = [...new Set(own.map(({ policy }) => policy))].sort();
    return policies.map((policy) => policyRow(own, policy, temperature));
  });
  const title = device === "real" ? "Stages as fast as this machine is" : `Stages paced to \`${device}\``;
  const different = countDifferent(runs);
  return [
    `### ${title}`,
    table(
      [
        "temperature",
        "policy",
        "tokens/s",
        "ratio to plain",
        "tokens a commit",
        "first token, ms",
        "draft nodes sent a token",
        "segments a token",
      ],
      rows,
    ),
    `Answers that differ between policies or repeats: ${different}`,
    table(
      ["actor", "resident, MiB", "private, MiB", "layers", "ms by nodes", "measured without pace"],
      actors.map(({ name, metadata, residentMiB, privateMiB }) => [
        name,
        residentMiB.toFixed(0),
        privateMiB.toFixed(0),
        metadata.layers ?? "",
        metadata.costs_ms ?? "",
        metadata.costs_ms === metadata.measured_costs_ms ? "" : (metadata.measured_costs_ms ?? ""),
      ]),
    ),
  ];
}

function policyRow(runs: readonly Measured[], policy: string, temperature: number): string[] {
  const own = runs.filter((run) => run.policy === policy);
  const ratios = own.flatMap((run) => {
    const plain = runs.find(
      (other) => other.policy === BASELINE && other.prompt === run.prompt && other.repeat === run.repeat,
    );
    return plain === undefined ? [] : [run.tokensPerSecond / plain.tokensPerSecond];
  });
  const total = (read: (run: Measured) => number) => own.reduce((sum, run) => sum + read(run), 0);
  const tokens = total((run) => run.tokens.length);
  return [
    String(temperature),
    policy,
    formatSpread(spreadOf(finite(own.map((run) => run.tokensPerSecond))), 1),
    formatSpread(spreadOf(finite(ratios)), 2),
    (tokens / total((run) => run.commits)).toFixed(2),
    formatSpread(spreadOf(own.map((run) => run.firstTokenMs)), 0),
    (total((run) => run.draftTokens) / tokens).toFixed(2),
    (total((run) => run.segments) / tokens).toFixed(2),
  ];
}

/** An answer in one commit has no rate. */
const finite = (values: readonly number[]): number[] => values.filter((value) => Number.isFinite(value));

/** Prompts whose answers are not all the same: a lossless system has none. */
function countDifferent(runs: readonly Measured[]): number {
  const answers = new Map<string, Set<string>>();
  for (const { prompt, temperature, tokens } of runs) {
    const key = `${temperature}/${prompt}`;
    answers.set(key, (answers.get(key) ?? new Set()).add(tokens.join(" ")));
  }
  return [...answers.values()].filter((texts) => texts.size > 1).length;
}

function renderHops({ hops }: BenchResult): string {
  const rows = hops.map(({ nodes, bytes, p50Ms, p99Ms }) => [
    String(nodes),
    String(bytes),
    p50Ms.toFixed(3),
    p99Ms.toFixed(3),
  ]);
  return `### Cost of one hop: encode, NATS, decode\n\n${table(["nodes", "bytes", "p50, ms", "p99, ms"], rows)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
