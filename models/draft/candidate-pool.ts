import type { DraftCandidates } from "../draft-engine.ts";

/** Every candidate that one expansion found: parents have lower indices than their children. */
export class CandidatePool {
  readonly #parents: number[] = [];
  readonly #tokens: number[] = [];
  readonly #scores: number[] = [];
  readonly #levels: number[] = [];
  /** Indices by score and then by index; those added since the last look are missing. */
  #ranked: number[] = [];

  get size(): number {
    return this.#tokens.length;
  }

  /** Adds a child of candidate `parent` (-1: of the path's end) with its path score; gives its index. */
  add(parent: number, token: number, score: number): number {
    this.#parents.push(parent);
    this.#tokens.push(token);
    this.#scores.push(score);
    this.#levels.push(parent === -1 ? 1 : this.#levels[parent]! + 1);
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

  /** 1 for children of the path's end. */
  level(index: number): number {
    return this.#levels[index]!;
  }

  /** Tokens from below the path's end down to the candidate. */
  tokensTo(index: number): number[] {
    const tokens: number[] = [];
    for (let at = index; at !== -1; at = this.parent(at)) tokens.push(this.token(at));
    return tokens.reverse();
  }

  /** All indices, the best first: by score and then by index. So parents come before their children. */
  get ranked(): readonly number[] {
    if (this.#ranked.length < this.size) {
      const fresh = Array.from(
        { length: this.size - this.#ranked.length },
        (_, i) => this.#ranked.length + i,
      );
      this.#ranked = merged(this.#ranked, this.rank(fresh), this.#scores);
    }
    return this.#ranked;
  }

  /** Sorts `indices` in place as `ranked` has them. */
  rank(indices: number[]): number[] {
    return indices.sort((a, b) => this.#scores[b]! - this.#scores[a]! || a - b);
  }

  /** `chosen` [candidates, each behind its parent] as a drafter gives them. */
  candidates(chosen: readonly number[]): DraftCandidates {
    const place = new Map<number, number>([[-1, -1]]);
    for (const index of chosen) place.set(index, place.size - 1);
    return {
      parents: Int32Array.from(chosen, (index) => place.get(this.#parents[index]!)!),
      tokens: Uint32Array.from(chosen, (index) => this.#tokens[index]!),
      scores: Float32Array.from(chosen, (index) => this.#scores[index]!),
    };
  }
}

/** Two sorted lists as one; all of `later` have higher indices, so they lose ties. */
function merged(earlier: readonly number[], later: readonly number[], scores: readonly number[]): number[] {
  const all: number[] = [];
  let i = 0;
  for (const index of later) {
    while (i < earlier.length && scores[earlier[i]!]! >= scores[index]!) all.push(earlier[i++]!);
    all.push(index);
  }
  while (i < earlier.length) all.push(earlier[i++]!);
  return all;
}
