import type { Provenance } from "../provenance.ts";
import type { DrafterCosts } from "../simulator/drafter.ts";
import { type Spread, spreadOf } from "../statistics.ts";
import type { BenchDraftersOptions } from "./bench-drafters-options.ts";
import { DEPTHS_MAX, type DraftTimes, type Hits, PASS_NODES } from "./followed-answer.ts";

/** One answer as a drafter would have guessed it. */
export interface AnswerResult {
  readonly prompt: string;
  readonly kind: string;
  /** From 1. */
  readonly turn: number;
  readonly temperature: number;
  readonly tokens: number;
  /** Depth 1 first. */
  readonly hits: readonly Hits[];
}

/** What the simulator says of a policy over all answers, or those of one kind, with a drafter's guesses. */
export interface PlayedResult {
  readonly temperature: number;
  readonly device: string;
  readonly link: string;
  readonly policy: string;
  /** Absent: all. */
  readonly kind?: string;
  readonly tokensPerCommit: number;
  readonly missShare: number;
  /** Tokens a second, by plain decoding's. */
  readonly ratio: number;
}

/** Milliseconds, medians and quartiles. */
export interface DraftTimeSummary {
  readonly extendMs: Spread;
  readonly pass: readonly { readonly nodes: number; readonly ms: Spread }[];
  /** As policy `fullflow` asks for them, with nothing drafted before. */
  readonly expansionMs: Spread;
  readonly passesAnExpansion: number;
  readonly nodesAPass: number;
}

export interface DrafterResult {
  readonly name: string;
  /** What its head is, where it has one. */
  readonly head?: {
    readonly layers: number;
    readonly taps: readonly number[];
    readonly vocabulary: number;
    readonly sha256: string;
  };
  readonly answers: readonly AnswerResult[];
  readonly times: DraftTimeSummary;
  readonly played: readonly PlayedResult[];
}

export interface DraftersResult extends Provenance {
  readonly options: BenchDraftersOptions;
  readonly model: string;
  /** The first is what the others are compared with. */
  readonly drafters: readonly DrafterResult[];
}

/** Sums by depth. */
export function sumOfHits(answers: readonly Pick<AnswerResult, "hits">[]): Hits[] {
  return Array.from({ length: DEPTHS_MAX }, (_, depth) => {
    const sum = { tokens: 0, within: [0, 0, 0] as [number, number, number] };
    for (const { hits } of answers) {
      sum.tokens += hits[depth]?.tokens ?? 0;
      for (const place of [0, 1, 2] as const) sum.within[place] += hits[depth]?.within[place] ?? 0;
    }
    return sum;
  });
}

export function summariseTimes(all: readonly DraftTimes[]): DraftTimeSummary {
  const expansions = all.flatMap((times) => times.expansions);
  const total = (read: (expansion: (typeof expansions)[number]) => number) =>
    expansions.reduce((sum, expansion) => sum + read(expansion), 0);
  return {
    extendMs: spreadOf(all.flatMap(({ extendMs }) => extendMs)),
    pass: PASS_NODES.flatMap((nodes) => {
      const own = all.flatMap(({ passMs }) => passMs.filter((pass) => pass.nodes === nodes));
      return own.length === 0 ? [] : [{ nodes, ms: spreadOf(own.map(({ ms }) => ms)) }];
    }),
    expansionMs: spreadOf(expansions.map(({ ms }) => ms)),
    passesAnExpansion: total(({ passes }) => passes) / expansions.length,
    nodesAPass: total(({ nodes }) => nodes) / total(({ passes }) => passes),
  };
}

/** For the simulator; undefined when the answers were too short to measure everything. */
export function costsOf({ extendMs, pass }: DraftTimeSummary): DrafterCosts | undefined {
  if (extendMs.count === 0 || pass.length === 0) return undefined;
  let most = 0;
  // More nodes never take less: what says so is noise.
  const table = pass.map(({ nodes, ms }) => {
    most = Math.max(most, ms.median);
    return { nodes, ms: most };
  });
  return { extendMs: extendMs.median, pass: table };
}
