import type { DraftCandidates } from "../draft-engine.ts";

/** Every candidate that one expansion found, level by level: parents have lower indices than their children. */
export class CandidatePool {
  readonly #parents: number[] = [];
  readonly #tokens: number[] = [];
  readonly #scores: number[] = [];

  get size(): number {
    return this.#tokens.length;
  }

  /** Adds a child of candidate `parent` (-1: of the path's end) with its path score; gives its index. */
  add(parent: number, token: number, score: number): number {
    this.#parents.push(parent);
    this.#tokens.push(token);
    this.#scores.push(score);
    return this.size - 1;
  }

  parent(index: number): number {
    return this.#parents[index]!;
  }

  token(index: number): number {
    return this.#tokens[index]!;
  }

  /** Path score of a candidate; 0 for the path's end (-1). */
  score(index: number): number {
    return index === -1 ? 0 : this.#scores[index]!;
  }

  /** Tokens from below the path's end down to the candidate. */
  tokensTo(index: number): number[] {
    const tokens: number[] = [];
    for (let at = index; at !== -1; at = this.parent(at)) tokens.push(this.token(at));
    return tokens.reverse();
  }

  /** The `count` best indices from `first` on, by score and then by index. */
  best(count: number, first = 0): number[] {
    const indices = Array.from({ length: this.size - first }, (_, i) => first + i);
    indices.sort((a, b) => this.#scores[b]! - this.#scores[a]! || a - b);
    return indices.slice(0, count);
  }

  /**
   * The best `total` candidates in score order. No child scores above its parent and ties go to the
   * lower index, so parents are selected whenever their children are, and come before them.
   */
  select(total: number): DraftCandidates {
    const chosen = this.best(total);
    const place = new Map<number, number>([[-1, -1]]);
    for (const index of chosen) place.set(index, place.size - 1);
    return {
      parents: Int32Array.from(chosen, (index) => place.get(this.#parents[index]!)!),
      tokens: Uint32Array.from(chosen, (index) => this.#tokens[index]!),
      scores: Float32Array.from(chosen, (index) => this.#scores[index]!),
    };
  }
}
