import type { TokenMask } from "../../decoding/token-mask.ts";

/** [state] what may come next, as [first byte, last byte, state after it]; state 0 is between characters. */
const NEXT: readonly (readonly (readonly [number, number, number])[])[] = [
  [
    [0x00, 0x7f, 0],
    [0xc2, 0xdf, 1],
    [0xe0, 0xe0, 4],
    [0xe1, 0xec, 2],
    [0xed, 0xed, 5],
    [0xee, 0xef, 2],
    [0xf0, 0xf0, 6],
    [0xf1, 0xf3, 3],
    [0xf4, 0xf4, 7],
  ],
  [[0x80, 0xbf, 0]],
  [[0x80, 0xbf, 1]],
  [[0x80, 0xbf, 2]],
  [[0xa0, 0xbf, 1]],
  [[0x80, 0x9f, 1]],
  [[0x90, 0xbf, 2]],
  [[0x80, 0x8f, 2]],
];

/**
 * The automaton of well-formed UTF-8 (Unicode 16, table 3-7) over a vocabulary's bytes. xgrammar lets a class of
 * characters be any lead byte with its trailing bytes, which is more than UTF-8 allows.
 */
export class Utf8States {
  readonly #bytes: readonly Uint8Array[];
  /** By state: the tokens that keep a text well-formed. */
  readonly #masks: readonly TokenMask[];

  /** `bytes`: of each token. */
  constructor(bytes: readonly Uint8Array[]) {
    this.#bytes = bytes;
    this.#masks = NEXT.map((_, state) => {
      const mask = new Int32Array(Math.ceil(bytes.length / 32));
      for (let token = 0; token < bytes.length; token++) {
        if (this.after(state, token) >= 0) mask[token >>> 5]! |= 1 << (token & 31);
      }
      return mask;
    });
  }

  /** State after the token's bytes; -1 when they are no UTF-8 there. */
  after(state: number, token: number): number {
    let at = state;
    for (const byte of this.#bytes[token] ?? []) {
      at = NEXT[at]!.find(([first, last]) => byte >= first && byte <= last)?.[2] ?? -1;
      if (at < 0) break;
    }
    return at;
  }

  /** Takes out of `mask` what is no UTF-8 in this state. */
  narrow(mask: TokenMask, state: number): void {
    const wellFormed = this.#masks[state]!;
    for (let word = 0; word < mask.length; word++) mask[word]! &= wellFormed[word] ?? 0;
  }
}
