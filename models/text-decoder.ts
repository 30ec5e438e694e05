import type { Tokenizer } from "./tokenizer.ts";

/**
 * Text of a token sequence, bit by bit: the pushes and the flush together are what decoding all tokens at
 * once gives. A character whose bytes are not all there waits; bytes that can never become a character are
 * U+FFFD, one for each maximal part of one (Unicode's recommended practice).
 */
export class TokenTextDecoder {
  readonly #tokenizer: Pick<Tokenizer, "tokenBytes" | "dropsLeadingSpace">;
  readonly #hidden: ReadonlySet<number>;
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  #atStart = true;

  /** Tokens of `hide` give no text; the bytes before and after one meet. */
  constructor(
    tokenizer: Pick<Tokenizer, "tokenBytes" | "dropsLeadingSpace">,
    options: { readonly hide: Iterable<number> },
  ) {
    this.#tokenizer = tokenizer;
    this.#hidden = new Set(options.hide);
  }

  push(tokens: Iterable<number>): string {
    let text = "";
    for (const token of tokens) {
      if (this.#hidden.has(token)) continue;
      text += this.#utf8.decode(this.#tokenizer.tokenBytes(token), { stream: true });
    }
    return this.#withoutMark(text);
  }

  /** What still waits, with U+FFFD for a cut character; the decoder can then be used for another sequence. */
  flush(): string {
    const text = this.#withoutMark(this.#utf8.decode());
    this.#atStart = true;
    return text;
  }

  #withoutMark(text: string): string {
    if (!this.#atStart || text === "") return text;
    this.#atStart = false;
    return this.#tokenizer.dropsLeadingSpace && text.startsWith(" ") ? text.slice(1) : text;
  }
}
