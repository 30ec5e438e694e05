import type { StageWorkMessage } from "../actors/messages.ts";

/** One segment as it left the tree manager; a link to the first stage is still before it. */
export interface SentSegment {
  readonly atMs: number;
  readonly generation: number;
  readonly sequence: number;
  readonly nodes: readonly number[];
  /** Prompt chunk. */
  readonly committed: boolean;
  /** Tokens that were certain when it left, the prompt's included: tells which commits were known by then. */
  readonly certain: number;
  readonly bytes: number;
}

/** A commit as it came to the tree manager, behind the last stage's link. */
export interface HeardCommit {
  readonly atMs: number;
  readonly generation: number;
  /** Sequence of the segment that moved the walk. */
  readonly segment: number;
  readonly position: number;
  readonly nodes: readonly number[];
  readonly tokens: readonly number[];
}

/** From a wish for candidates to the last of them. */
export interface Drafting {
  readonly beginMs: number;
  readonly endMs: number;
}

/**
 * All that was heard of one session, each list in the order of its events. Times are milliseconds of the
 * host's wall clock, with fractions.
 */
export interface SessionRecord {
  readonly commits: readonly HeardCommit[];
  readonly segments: readonly SentSegment[];
  readonly work: readonly StageWorkMessage[];
  /** This and the next are empty unless `drafting` was listened to. */
  readonly draftings: readonly Drafting[];
  /** When stages told the tree manager that they had finished a segment. */
  readonly reportsMs: readonly number[];
}

/** Tokens that were certain once this commit was known. */
const certainAfter = ({ position, tokens }: HeardCommit): number => position + tokens.length;

/** How many of a piece of work's nodes were committed in the end: work on the others was in vain. */
export function liveCounter({ commits }: SessionRecord): (work: StageWorkMessage) => number {
  const accepted = new Set(commits.flatMap(({ nodes }) => nodes));
  return ({ nodes, committed }) =>
    committed ? nodes.length : nodes.filter((node) => accepted.has(node)).length;
}

/**
 * Milliseconds from each miss – a commit whose last token was in no segment that had been sent – to the
 * next verified token. The commit that ends the prompt is no miss: nothing could have been sent before it.
 */
export function timesAfterMisses({ commits, segments }: SessionRecord): number[] {
  const sentWith = new Map<string, number>();
  for (const { generation, nodes, certain } of segments) {
    for (const node of nodes) {
      const key = `${generation}/${node}`;
      if (!sentWith.has(key)) sentWith.set(key, certain);
    }
  }
  return commits.slice(1, -1).flatMap((commit, index) => {
    const next = commits[index + 2];
    if (next === undefined || next.generation !== commit.generation) return [];
    const certain = sentWith.get(`${next.generation}/${next.nodes[0]}`) ?? 0;
    return certain >= certainAfter(commit) ? [next.atMs - commit.atMs] : [];
  });
}
