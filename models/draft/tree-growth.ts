import type { DraftSize } from "../../decoding/policies/policy.ts";
import type { DraftCandidates } from "../draft-engine.ts";
import { CandidatePool } from "./candidate-pool.ts";

/** One possible next token with its natural-log probability, at most 0. */
export interface Child {
  readonly token: number;
  readonly logProb: number;
}

/** The bounds of one expansion, as in a `DraftRequest`. */
export type ExpansionLimits = Omit<DraftSize, "coupled">;

/**
 * A draft tree that grows pass by pass: whoever drives it deepens the `frontier` and hands the children
 * to `grow`, until the frontier is empty.
 *
 * - `level`: each level's best `batch` are deepened, and the best `total` of all that was found are the
 *   result (EAGLE-2).
 * - `layers`: the same, but of each level only the best `batch` are kept (PipeDec).
 * - `best`: the best `batch` of all that were not deepened yet, whatever their level; ends when the best
 *   `total` can't change any more.
 *
 * A candidate that can have no child in the result is not deepened, which changes nothing but saves work.
 */
export class TreeGrowth {
  readonly pool = new CandidatePool();
  readonly #limits: ExpansionLimits;
  /** Least score of what is deepened. */
  readonly #scoreMin: number;
  readonly #deepened = new Set<number>();
  readonly #told = new Set<number>();
  /** In growth `layers`: the best of each level. */
  readonly #kept = new Set<number>();
  #frontier: readonly number[];

  constructor(limits: ExpansionLimits, rootChildren: readonly Child[]) {
    this.#limits = limits;
    this.#scoreMin = Math.log(limits.minProbability);
    this.#add(-1, rootChildren);
    this.#frontier = this.#nextFrontier(1);
  }

  /** Candidates to deepen in the next pass, by their indices in the pool; empty when the tree is complete. */
  get frontier(): readonly number[] {
    return this.#frontier;
  }

  /** Adds the children of each candidate of the frontier, in its order; at most `topK` of each count. */
  grow(families: readonly (readonly Child[])[]): void {
    const level = this.#frontier.reduce((deepest, index) => Math.max(deepest, this.pool.level(index)), 0);
    for (const [i, parent] of this.#frontier.entries()) {
      this.#deepened.add(parent);
      this.#add(parent, families[i]!);
    }
    this.#frontier = this.#nextFrontier(level + 1);
  }

  /** The tree, the best candidates first; parents always before their children. */
  select(): DraftCandidates {
    return this.pool.candidates(this.#selected());
  }

  /**
   * What `select` has and no earlier call of this method gave, with all ancestors. A candidate that was
   * given may fall out of the best `total` later: what is told in all may be more than that.
   */
  selectNew(): DraftCandidates {
    const chosen = new Set<number>();
    for (const index of this.#selected()) {
      if (this.#told.has(index)) continue;
      this.#told.add(index);
      for (let at = index; at !== -1 && !chosen.has(at); at = this.pool.parent(at)) chosen.add(at);
    }
    return this.pool.candidates(this.pool.rank([...chosen]));
  }

  #add(parent: number, children: readonly Child[]): void {
    const { growth, topK } = this.#limits;
    const scoreMin = growth === "best" ? this.#scoreMin : Number.NEGATIVE_INFINITY;
    const parentScore = this.pool.score(parent);
    for (const { token, logProb } of children.slice(0, topK)) {
      if (parentScore + logProb >= scoreMin) this.pool.add(parent, token, parentScore + logProb);
    }
  }

  #nextFrontier(level: number): number[] {
    const { growth, batch, depth, total } = this.#limits;
    const inLevel = this.pool.ranked.filter((index) => this.pool.level(index) === level).slice(0, batch);
    for (const index of inLevel) this.#kept.add(index);
    const selected = this.#selected();
    // A child scores no more than its parent and loses ties to everything in the pool already.
    const bound = selected.length < total ? Number.NEGATIVE_INFINITY : this.pool.score(selected.at(-1)!);
    const isWorthIt = (index: number) => {
      const score = this.pool.score(index);
      return this.pool.level(index) <= depth && score > bound && score >= this.#scoreMin;
    };
    if (growth !== "best") return inLevel.filter(isWorthIt);
    return this.pool.ranked.filter((index) => !this.#deepened.has(index) && isWorthIt(index)).slice(0, batch);
  }

  #selected(): number[] {
    const { growth, total } = this.#limits;
    const { ranked } = this.pool;
    const kept = growth === "layers" ? ranked.filter((index) => this.#kept.has(index)) : ranked;
    return kept.slice(0, total);
  }
}
