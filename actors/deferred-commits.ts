import type { NodeId, TokenId } from "../decoding/ids.ts";
import type { Walk } from "../decoding/segment.ts";

/** A commit as the model's cache takes it; see StageEngine.commit. */
export interface CacheCommit {
  readonly accepted: readonly NodeId[];
  readonly next: TokenId;
}

/**
 * Commits that a stage has heard and its model's cache has not, in sessions whose dead nodes are computed
 * all the same: a commit waits for the first segment that was sent in knowledge of it, because everything
 * before was sent as if nothing had died.
 */
export class DeferredCommits {
  readonly #waiting: { readonly commit: CacheCommit; readonly certain: number }[] = [];
  #latest = 0;

  /** Commits may repeat; they never come out of order. */
  hold({ nodes, tokens, position }: Walk): void {
    const next = tokens.at(-1);
    const certain = position + tokens.length;
    if (next === undefined || certain <= this.#latest) return;
    this.#latest = certain;
    this.#waiting.push({ commit: { accepted: nodes, next }, certain });
  }

  /** Takes those that the sender of a segment knew of when `certain` tokens were, in the order they came. */
  knownAt(certain: number): CacheCommit[] {
    const unknown = this.#waiting.findIndex((waiting) => waiting.certain > certain);
    const count = unknown < 0 ? this.#waiting.length : unknown;
    return this.#waiting.splice(0, count).map(({ commit }) => commit);
  }
}
