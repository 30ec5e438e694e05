/** How far back two contexts are compared; longer matches are no better predictors. */
export const MATCH_TOKENS_MAX = 12;
/** Latest occurrences of a bigram that one look-up examines. */
const OCCURRENCES_MAX = 48;
/** Token ids are below this; a bigram's key stays an exact integer. */
const TOKEN_SPAN = 2 ** 24;

/** A place where the text went on after the same tokens. */
export interface Occurrence {
  /** Index of the token that followed. */
  readonly next: number;
  /** Tokens before it that equal the end of the context, 2..MATCH_TOKENS_MAX. */
  readonly matched: number;
}

/** A growing token text with an index of its bigrams, to find earlier occurrences of its own end. */
export class SuffixText {
  #tokens = new Uint32Array(256);
  #length = 0;
  /** Bigram key to the ascending indices of the tokens that followed it. */
  readonly #followers = new Map<number, number[]>();

  get length(): number {
    return this.#length;
  }

  at(index: number): number | undefined {
    return index >= 0 && index < this.#length ? this.#tokens[index] : undefined;
  }

  /** The whole text followed by `tail`, as an array of its own. */
  followedBy(tail: readonly number[]): Uint32Array {
    const whole = new Uint32Array(this.#length + tail.length);
    whole.set(this.#tokens.subarray(0, this.#length));
    whole.set(tail, this.#length);
    return whole;
  }

  append(token: number): void {
    if (this.#length === this.#tokens.length) {
      const grown = new Uint32Array(this.#length * 2);
      grown.set(this.#tokens);
      this.#tokens = grown;
    }
    this.#tokens[this.#length++] = token;
    if (this.#length < 2) return;
    const key = bigramKey(this.#tokens[this.#length - 2]!, token);
    const followers = this.#followers.get(key);
    if (followers === undefined) this.#followers.set(key, [this.#length]);
    else followers.push(this.#length);
  }

  /** Drops all tokens from index `length` on. */
  truncate(length: number): void {
    while (this.#length > length) {
      if (this.#length >= 2) this.#forgetLastBigram();
      this.#length--;
    }
  }

  /**
   * Writes `tokens` at `start` (at most the present length). Later tokens stay if nothing changes,
   * since then they are still what follows; else they go.
   */
  write(start: number, tokens: Uint32Array): void {
    if (start > this.#length) {
      throw new Error(`text has ${this.#length} tokens, none can be written at ${start}`);
    }
    for (let i = 0; i < tokens.length; i++) {
      const index = start + i;
      if (index < this.#length && this.#tokens[index] === tokens[i]) continue;
      this.truncate(index);
      this.append(tokens[i]!);
    }
  }

  /** Latest first: where the text followed by `tail` [tokens] has been seen before, by two tokens or more. */
  occurrences(tail: readonly number[]): Occurrence[] {
    const contextLength = this.#length + tail.length;
    if (contextLength < 2) return [];
    const last = this.#contextAt(contextLength - 1, tail);
    const followers = this.#followers.get(bigramKey(this.#contextAt(contextLength - 2, tail), last)) ?? [];
    const found: Occurrence[] = [];
    for (let i = followers.length - 1; i >= 0 && found.length < OCCURRENCES_MAX; i--) {
      const next = followers[i]!;
      if (next === this.#length) continue;
      found.push({ next, matched: this.#matchedTokens(next, contextLength, tail) });
    }
    return found;
  }

  #matchedTokens(next: number, contextLength: number, tail: readonly number[]): number {
    const limit = Math.min(MATCH_TOKENS_MAX, next);
    let matched = 2;
    while (
      matched < limit &&
      this.#tokens[next - 1 - matched] === this.#contextAt(contextLength - 1 - matched, tail)
    ) {
      matched++;
    }
    return matched;
  }

  #contextAt(index: number, tail: readonly number[]): number {
    return index < this.#length ? this.#tokens[index]! : tail[index - this.#length]!;
  }

  #forgetLastBigram(): void {
    const key = bigramKey(this.#tokens[this.#length - 2]!, this.#tokens[this.#length - 1]!);
    const followers = this.#followers.get(key)!;
    followers.pop();
    if (followers.length === 0) this.#followers.delete(key);
  }
}

function bigramKey(first: number, second: number): number {
  return first * TOKEN_SPAN + second;
}
