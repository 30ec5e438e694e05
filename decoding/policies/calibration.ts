/** Upper ends of the bins of a candidate's probability given its parent; the last takes the rest. */
const CONFIDENCE_ENDS = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97, 1] as const;
/** Levels below the root that are told apart; the last takes all deeper ones. */
const DEPTHS = 5;
/** Weight of the drafter's own word against what was seen, in expected hits. */
const PRIOR_HITS = 8;

interface Bin {
  expected: number;
  hits: number;
}

/**
 * Corrects a drafter's probabilities by what came of them: for each depth × confidence bin, the ratio of
 * hits to expected hits so far (algorithm part B, item 2). Deep guesses and guesses under shared noise
 * are overconfident, and by how much depends on the text.
 */
export class Calibration {
  readonly #bins: readonly Bin[] = Array.from({ length: DEPTHS * CONFIDENCE_ENDS.length }, () => ({
    expected: 0,
    hits: 0,
  }));

  /** `depth`: 1 for children of the root; `p`: the drafter's probability of the node, given its parent. */
  corrected(depth: number, p: number): number {
    const { expected, hits } = this.#bin(depth, p);
    return Math.min(1, (p * (PRIOR_HITS + hits)) / (PRIOR_HITS + expected));
  }

  /** The node's parent was verified, and the node was the next one or not. */
  observe(depth: number, p: number, hit: boolean): void {
    const bin = this.#bin(depth, p);
    bin.expected += p;
    if (hit) bin.hits++;
  }

  #bin(depth: number, p: number): Bin {
    const level = Math.min(Math.max(depth, 1), DEPTHS) - 1;
    const column = CONFIDENCE_ENDS.findIndex((end) => p <= end);
    return this.#bins[level * CONFIDENCE_ENDS.length + Math.max(column, 0)]!;
  }
}
