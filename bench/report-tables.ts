import { compare, tokensPerSecond } from "./comparison.ts";
import { comparePredictions } from "./prediction.ts";
import { TIME_KINDS } from "./profile.ts";
import { comparedWith, type MeasuredRun, type Scenario } from "./result.ts";
import { formatSpread, type RatioEstimate, spreadOf } from "./statistics.ts";

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** One contender at one temperature. */
interface Group {
  readonly policy: string;
  readonly temperature: number;
  readonly runs: readonly MeasuredRun[];
}

function groupsOf({ runs, contenders }: Scenario): Group[] {
  const temperatures = [...new Set(runs.map(({ temperature }) => temperature))];
  return temperatures.flatMap((temperature) =>
    contenders.map(({ label: policy }) => {
      const own = runs.filter((run) => run.policy === policy && run.temperature === temperature);
      return { policy, temperature, runs: own };
    }),
  );
}

const total = (runs: readonly MeasuredRun[], read: (run: MeasuredRun) => number): number =>
  runs.reduce((sum, run) => sum + read(run), 0);

/** An answer in one commit has no rate. */
const finite = (values: readonly number[]): number[] => values.filter((value) => Number.isFinite(value));

const formatRatio = ({ ratio, lower, upper }: RatioEstimate): string =>
  Number.isNaN(lower) ? ratio.toFixed(2) : `${ratio.toFixed(2)} [${lower.toFixed(2)}, ${upper.toFixed(2)}]`;

const percent = (share: number, digits = 0): string => `${(100 * share).toFixed(digits)} %`;

/** How fast each contender was, and against whom. `baseline`: a second policy to compare with. */
export function speedTable(scenario: Scenario, baseline: string | undefined, seed: number): string {
  const groups = groupsOf(scenario);
  const against = comparedWith(scenario, baseline);
  const head = [
    "temperature",
    "policy",
    "tokens/s",
    ...against.flatMap((policy) => [`× ${policy}, paired`, `× ${policy}, in all [95 %]`]),
    "tokens a commit",
    "m",
    "first token, ms",
  ];
  const rows = groups.map(({ policy, temperature, runs }) => {
    const ratios = against.flatMap((other) => {
      const theirs = groups.find((group) => group.policy === other && group.temperature === temperature);
      const { paired, total: inAll } = compare(runs, theirs?.runs ?? [], seed);
      return [formatSpread(paired, 2), formatRatio(inAll)];
    });
    return [
      String(temperature),
      `\`${policy}\``,
      formatSpread(spreadOf(finite(runs.map(tokensPerSecond))), 1),
      ...ratios,
      (total(runs, (run) => run.decodedTokens) / total(runs, (run) => run.commits)).toFixed(2),
      spreadOf(finite(runs.map((run) => run.missShare))).median.toFixed(2),
      formatSpread(spreadOf(runs.map((run) => run.firstTokenMs)), 0),
    ];
  });
  return table(head, rows);
}

/** What each contender had the pipeline do for a token. */
export function workTable(scenario: Scenario): string {
  const stageCount = Math.max(0, ...scenario.runs.map(({ stages }) => stages.length));
  const stages = Array.from({ length: stageCount }, (_, stage) => stage);
  const head = [
    "temperature",
    "policy",
    "draft nodes a token",
    "segments a token",
    "kB a token",
    "from a miss to the next token, ms",
    ...stages.map((stage) => `stage ${stage} busy: live + dead`),
  ];
  const rows = groupsOf(scenario).map(({ policy, temperature, runs }) => {
    const aToken = (read: (run: MeasuredRun) => number) =>
      total(runs, read) / total(runs, ({ decodedTokens }) => decodedTokens);
    const share = (stage: number, part: "live" | "dead") =>
      total(runs, (run) => (run.stages[stage]?.[part] ?? 0) * run.decodeMs) /
      total(runs, (run) => run.decodeMs);
    const afterMiss = runs.flatMap((run) => run.afterMissMs);
    return [
      String(temperature),
      `\`${policy}\``,
      aToken((run) => run.draftNodes).toFixed(2),
      aToken((run) => run.segments).toFixed(2),
      aToken((run) => run.bytes / 1000).toFixed(1),
      afterMiss.length === 0 ? "–" : formatSpread(spreadOf(afterMiss), 0),
      ...stages.map((stage) => `${percent(share(stage, "live"))} + ${percent(share(stage, "dead"))}`),
    ];
  });
  return table(head, rows);
}

/** Where the time of a token goes: milliseconds and shares. */
export function profileTable({ profiles: all }: Scenario): string {
  const profiles = all.toSorted((a, b) => a.temperature - b.temperature);
  const head = ["temperature", "policy", "ms a token", ...TIME_KINDS.map((kind) => `${kind}, ms`)];
  const rows = profiles.map(({ policy, temperature, profile: { tokens, ms } }) => {
    const all = TIME_KINDS.reduce((sum, kind) => sum + ms[kind], 0);
    const parts = TIME_KINDS.map(
      (kind) => `${(ms[kind] / tokens).toFixed(2)} (${percent(ms[kind] / all, 1)})`,
    );
    return [String(temperature), `\`${policy}\``, (all / tokens).toFixed(1), ...parts];
  });
  return table(head, rows);
}

export function actorTable({ actors }: Scenario): string {
  const head = ["actor", "resident, MiB", "private, MiB", "layers", "ms by nodes", "measured without pace"];
  const rows = actors.map(({ name, metadata, residentMiB, privateMiB }) => [
    name,
    residentMiB.toFixed(0),
    privateMiB.toFixed(0),
    metadata.layers ?? "",
    metadata.costs_ms ?? "",
    metadata.costs_ms === metadata.measured_costs_ms ? "" : (metadata.measured_costs_ms ?? ""),
  ]);
  return table(head, rows);
}

/** Measured beside simulated. */
export function predictionTable(scenario: Scenario): string {
  return table(
    ["temperature", "policy", "tokens/s, measured", "tokens/s, simulated", "measured by simulated"],
    comparePredictions(scenario).map(
      ({ temperature, policy, tokensPerSecond: simulated, measuredTokensPerSecond: measured }) => [
        String(temperature),
        `\`${policy}\``,
        measured.toFixed(2),
        simulated.toFixed(2),
        (measured / simulated).toFixed(3),
      ],
    ),
  );
}
