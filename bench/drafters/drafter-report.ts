import { table } from "../report-tables.ts";
import { formatSpread, type PairedTotals, type RatioEstimate, ratioOfTotals } from "../statistics.ts";
import {
  type AnswerResult,
  type DrafterResult,
  type DraftersResult,
  type PlayedResult,
  sumOfHits,
} from "./drafter-result.ts";
import { DEPTHS_MAX, HIT_SIZES, type Hits, PASS_NODES } from "./followed-answer.ts";

const DEPTHS = Array.from({ length: DEPTHS_MAX }, (_, index) => `depth ${index + 1}`);

/** All that was measured, as Markdown. */
export function renderDrafters(result: DraftersResult): string {
  const { drafters, options, model } = result;
  const answers = drafters[0]?.answers ?? [];
  const tokens = answers.reduce((sum, answer) => sum + answer.tokens, 0);
  const temperatures = [...new Set(answers.map(({ temperature }) => temperature))];
  const sections = temperatures.flatMap((temperature) => [
    `## Temperature ${temperature}`,
    `Share of the target's tokens that were the drafter's best guess / among its best ${HIT_SIZES[1]} / among its best ${HIT_SIZES[2]}.`,
    hitTable(drafters, temperature),
    missTable(drafters, temperature, options.seed),
    "### By kind of prompt",
    kindTable(drafters, temperature),
    "### What policies make of it (simulated)",
    `${options.stages} stages, links ${options.link.name}; the drafter costs what was measured here.`,
    playedTable(drafters, temperature),
  ]);
  return [
    `# Drafters of ${model}`,
    `\`${result.command}\``,
    `${result.machine}; ${result.date}; code ${result.code}. ${answers.length} answers of the target with ${tokens} tokens; ` +
      `along the true path, with the drafter's own features below the last verified token.`,
    headList(drafters),
    ...sections,
    "## Time",
    `Milliseconds, medians and quartiles, by ${options.threads === 1 ? "one thread" : `${options.threads} threads`}. An expansion is one that \`fullflow\` asks for.`,
    timeTable(drafters),
  ].join("\n\n");
}

function headList(drafters: readonly DrafterResult[]): string {
  return drafters
    .map(({ name, head }) => {
      if (head === undefined) return `- \`${name}\`: no head`;
      const { layers, taps, vocabulary, sha256 } = head;
      const size = `${layers} ${layers === 1 ? "layer" : "layers"}, taps ${taps.join(", ")}, ${vocabulary} tokens`;
      return `- \`${name}\`: ${size} (${sha256.slice(0, 12)})`;
    })
    .join("\n");
}

const at = (temperature: number) => (answer: { readonly temperature: number }) =>
  answer.temperature === temperature;

const shares = ({ tokens, within }: Hits): string =>
  tokens === 0 ? "–" : within.map((hits) => (hits / tokens).toFixed(3)).join(" / ");

function hitTable(drafters: readonly DrafterResult[], temperature: number): string {
  return table(
    ["drafter", ...DEPTHS],
    drafters.map(({ name, answers }) => [
      `\`${name}\``,
      ...sumOfHits(answers.filter(at(temperature))).map(shares),
    ]),
  );
}

/** Misses at each depth, by those of the first drafter. */
function missTable(drafters: readonly DrafterResult[], temperature: number, seed: number): string {
  const [first, ...others] = drafters;
  if (first === undefined || others.length === 0) return "";
  const rows = others.map(({ name, answers }) => [
    `\`${name}\``,
    ...DEPTHS.map((_, depth) =>
      formatRatio(
        missRatio(answers.filter(at(temperature)), first.answers.filter(at(temperature)), depth, seed),
      ),
    ),
  ]);
  return `Misses of the best guess, by those of \`${first.name}\` [95 %, over prompts]:\n\n${table(["drafter", ...DEPTHS], rows)}`;
}

function missRatio(
  own: readonly AnswerResult[],
  baseline: readonly AnswerResult[],
  depth: number,
  seed: number,
): RatioEstimate {
  const byPrompt = Map.groupBy(own, ({ prompt }) => prompt);
  const pairs = Array.from(byPrompt, ([prompt, answers]): PairedTotals => {
    const mine = sumOfHits(answers)[depth];
    const theirs = sumOfHits(baseline.filter((answer) => answer.prompt === prompt))[depth];
    return {
      tokens: missesOf(mine),
      ms: mine?.tokens ?? 0,
      baselineTokens: missesOf(theirs),
      baselineMs: theirs?.tokens ?? 0,
    };
  });
  return ratioOfTotals(pairs, seed);
}

const missesOf = (hits: Hits | undefined): number => (hits === undefined ? 0 : hits.tokens - hits.within[0]);

const formatRatio = ({ ratio, lower, upper }: RatioEstimate): string =>
  Number.isNaN(lower) ? ratio.toFixed(2) : `${ratio.toFixed(2)} [${lower.toFixed(2)}, ${upper.toFixed(2)}]`;

function kindTable(drafters: readonly DrafterResult[], temperature: number): string {
  const kinds = new Set(drafters.flatMap(({ answers }) => answers.map(({ kind }) => kind)));
  const rows = Array.from(kinds).flatMap((kind) =>
    drafters.map(({ name, answers }) => {
      const own = answers.filter((answer) => answer.kind === kind && answer.temperature === temperature);
      return [kind, `\`${name}\``, ...sumOfHits(own).map(shares)];
    }),
  );
  return table(["kind", "drafter", ...DEPTHS], rows);
}

function playedTable(drafters: readonly DrafterResult[], temperature: number): string {
  const played = drafters.flatMap(({ name, played: all }) =>
    all.filter(at(temperature)).map((one) => ({ name, ...one })),
  );
  const kinds = [...new Set(played.flatMap(({ kind }) => (kind === undefined ? [] : [kind])))];
  const scenarios = Map.groupBy(played, ({ device, policy }) => `${device} ${policy}`);
  const head = ["device", "policy", "drafter", "tokens a commit", "m", "× autoregressive", ...kinds];
  const rows = [...scenarios.values()].flatMap((own) =>
    drafters.flatMap(({ name }) => {
      const mine = own.filter((one) => one.name === name);
      const all = mine.find(({ kind }) => kind === undefined);
      return all === undefined ? [] : [playedRow(name, all, mine, kinds)];
    }),
  );
  return `Under each kind: tokens a commit.\n\n${table(head, rows)}`;
}

function playedRow(
  name: string,
  all: PlayedResult,
  mine: readonly PlayedResult[],
  kinds: readonly string[],
): string[] {
  const byKind = kinds.map(
    (wanted) => mine.find(({ kind }) => kind === wanted)?.tokensPerCommit.toFixed(2) ?? "–",
  );
  const { device, policy, tokensPerCommit, missShare, ratio } = all;
  const figures = [tokensPerCommit.toFixed(2), missShare.toFixed(3), ratio.toFixed(2)];
  return [device, `\`${policy}\``, `\`${name}\``, ...figures, ...byKind];
}

function timeTable(drafters: readonly DrafterResult[]): string {
  const head = [
    "drafter",
    "one verified token",
    ...PASS_NODES.map((nodes) => `pass of ${nodes}`),
    "expansion",
    "passes an expansion",
    "nodes a pass",
  ];
  const rows = drafters.map(({ name, times }) => [
    `\`${name}\``,
    formatSpread(times.extendMs, 2),
    ...PASS_NODES.map((nodes) => {
      const pass = times.pass.find((one) => one.nodes === nodes);
      return pass === undefined ? "–" : formatSpread(pass.ms, 2);
    }),
    formatSpread(times.expansionMs, 2),
    ...[times.passesAnExpansion, times.nodesAPass].map((value) => (value > 0 ? value.toFixed(1) : "–")),
  ]);
  return table(head, rows);
}
