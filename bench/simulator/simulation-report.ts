import { table } from "../report-tables.ts";
import { REFERENCE } from "../result.ts";
import type { SimulatedRow } from "./scenario.ts";

/** The policies on one kind of pipeline. */
export interface Simulated {
  readonly device: string;
  readonly link: string;
  readonly stages: number;
  readonly rows: readonly SimulatedRow[];
}

const HEAD = [
  "policy",
  "tokens/s",
  `× ${REFERENCE}`,
  "tokens a commit",
  "m",
  "miss to next token, ms",
  "nodes a token",
  "busy, live",
  "busy, dead",
  "kB a token",
];

/** A Markdown heading and table, and what the tuned policies were set to. */
export function renderSimulation({ device, link, stages, rows }: Simulated): string {
  const plain = rows.find(({ label }) => label === REFERENCE)?.result.tokensPerSecond ?? Number.NaN;
  const speeds = table(
    HEAD,
    rows.map((row) => cellsOf(row, plain)),
  );
  const settings = rows.filter(({ label }) => label.endsWith("*"));
  const legend = settings.map(({ label, result }) => `- ${label} is ${result.policy}`).join("\n");
  return [`### ${stages} × ${device}, links ${link}`, speeds, ...(legend === "" ? [] : [legend])].join(
    "\n\n",
  );
}

/**
 * All pipelines in one table, as ratios to plain decoding; the last column compares the policy that was named
 * last with the best of the others.
 */
export function renderOverview(scenarios: readonly Simulated[]): string {
  const labels = scenarios[0]?.rows.map(({ label }) => label).slice(1) ?? [];
  const last = labels.at(-1) ?? REFERENCE;
  const rows = scenarios.map(({ device, link, stages, rows: played }) => {
    const [plain, ...speeds] = played.map(({ result }) => result.tokensPerSecond);
    const own = speeds.at(-1) ?? Number.NaN;
    const best = Math.max(plain ?? Number.NaN, ...speeds.slice(0, -1));
    const ratios = speeds.map((speed) => (speed / (plain ?? Number.NaN)).toFixed(2));
    return [`${stages} × ${device}, ${link}`, ...ratios, (own / best).toFixed(3)];
  });
  return `### Overview, × ${REFERENCE}\n\n${table(["pipeline", ...labels, `${last} by the best other`], rows)}`;
}

function cellsOf({ label, result }: SimulatedRow, plain: number): string[] {
  const percent = (share: number) => `${(share * 100).toFixed(0)} %`;
  return [
    label,
    result.tokensPerSecond.toFixed(1),
    (result.tokensPerSecond / plain).toFixed(2),
    result.tokensPerCommit.toFixed(2),
    result.missShare.toFixed(2),
    result.recoveryMs.toFixed(0),
    result.nodesPerToken.toFixed(1),
    percent(result.liveShare),
    percent(result.deadShare),
    (result.bytesPerToken / 1000).toFixed(0),
  ];
}
