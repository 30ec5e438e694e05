import { commonLength } from "../decoding/common-length.ts";
import type { Epoch } from "../decoding/ids.ts";

interface KeptPrefix {
  readonly tokens: Uint32Array;
  readonly features: boolean;
}

/** Sessions that are remembered, and tokens of them all. Stages may well have let go of them before. */
const ENTRIES_MAX = 256;
const TOKENS_MAX = 1_000_000;

/**
 * What the tree host expects the stages, and the drafter, to have rows of: the beginnings of sessions that run or
 * ran in the present epoch. It is a guess that costs no round trip. Whoever has less of what a session then begins
 * with says so, and the guess is put right.
 */
export class KeptPrefixes {
  #epoch: Epoch;
  /** The one that was not used for longest comes first. */
  #entries: KeptPrefix[] = [];

  constructor(epoch: Epoch) {
    this.#epoch = epoch;
  }

  /**
   * A session's tokens, all of which but the last have rows. `features`: the drafter has had those of them, too.
   * Nothing is remembered of an older epoch, and a newer one begins with nothing.
   */
  add(epoch: Epoch, tokens: ArrayLike<number>, features: boolean): void {
    if (epoch < this.#epoch) return;
    if (epoch > this.#epoch) this.clear(epoch);
    const added = { tokens: Uint32Array.from(tokens), features };
    const isWithin = (entry: KeptPrefix) =>
      (features || !entry.features) && commonLength(entry.tokens, added.tokens) === entry.tokens.length;
    this.#entries = [...this.#entries.filter((entry) => !isWithin(entry)), added];
    let tokenCount = this.#entries.reduce((sum, entry) => sum + entry.tokens.length, 0);
    while (this.#entries.length > ENTRIES_MAX || tokenCount > TOKENS_MAX) {
      tokenCount -= this.#entries.shift()?.tokens.length ?? 0;
    }
  }

  /**
   * How many of a session's tokens need not be computed. The last one that is common is never among them: its
   * features are needed once more, for what follows it here.
   */
  reusable(epoch: Epoch, tokens: ArrayLike<number>, needsFeatures: boolean): number {
    if (epoch !== this.#epoch) return 0;
    let longest = 0;
    let best = -1;
    this.#entries.forEach((entry, index) => {
      const length = needsFeatures && !entry.features ? 0 : commonLength(entry.tokens, tokens);
      if (length < longest || length === 0) return;
      longest = length;
      best = index;
    });
    const [used] = best < 0 ? [] : this.#entries.splice(best, 1);
    if (used !== undefined) this.#entries.push(used);
    return Math.max(0, longest - 1);
  }

  /** Somebody has rows of no more than the first `held` of these tokens. */
  shorten(tokens: ArrayLike<number>, held: number): void {
    this.#entries = this.#entries.flatMap((entry) => {
      if (commonLength(entry.tokens, tokens) <= held) return [entry];
      return held === 0 ? [] : [{ ...entry, tokens: entry.tokens.slice(0, held + 1) }];
    });
  }

  /** Whatever had rows has them no more. */
  clear(epoch: Epoch = this.#epoch): void {
    this.#epoch = epoch;
    this.#entries = [];
  }
}
