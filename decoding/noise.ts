/**
 * Counter-based noise: the noise of (seed, position, token) is a pure function of the three, never of
 * how many draws went before. That is what makes a text independent of policy, split and replay, and
 * lets the drafter know the target's noise in advance.
 *
 * The generator is Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011): key = seed, counter = (position, token >> 1). One block serves two tokens.
 */

/** Key-schedule constant of Threefry's 32-bit variants. */
const PARITY = 0x1bd11bda;
const SEED_MAX = Number.MAX_SAFE_INTEGER;
const TWO_POW_32 = 0x1_0000_0000;

/** Largest Gumbel noise: that of the largest 32-bit uniform. */
export const GUMBEL_MAX = gumbelOf(0xffff_ffff);

/** Writes the two output words of one Threefry-2x32-20 block to `out` [2]. All words are 32-bit. */
export function threefry2x32(
  key0: number,
  key1: number,
  counter0: number,
  counter1: number,
  out: Uint32Array,
) {
  const key2 = PARITY ^ key0 ^ key1;
  let x = (counter0 + key0) | 0;
  let y = (counter1 + key1) | 0;
  // Rounds come in groups of four with alternating rotations, and a key injection after each group.
  for (let group = 1; group <= 5; group++) {
    if ((group & 1) === 1) {
      x = (x + y) | 0;
      y = ((y << 13) | (y >>> 19)) ^ x;
      x = (x + y) | 0;
      y = ((y << 15) | (y >>> 17)) ^ x;
      x = (x + y) | 0;
      y = ((y << 26) | (y >>> 6)) ^ x;
      x = (x + y) | 0;
      y = ((y << 6) | (y >>> 26)) ^ x;
    } else {
      x = (x + y) | 0;
      y = ((y << 17) | (y >>> 15)) ^ x;
      x = (x + y) | 0;
      y = ((y << 29) | (y >>> 3)) ^ x;
      x = (x + y) | 0;
      y = ((y << 16) | (y >>> 16)) ^ x;
      x = (x + y) | 0;
      y = ((y << 24) | (y >>> 8)) ^ x;
    }
    const phase = group % 3;
    x = (x + (phase === 0 ? key0 : phase === 1 ? key1 : key2)) | 0;
    y = (y + (phase === 0 ? key1 : phase === 1 ? key2 : key0) + group) | 0;
  }
  out[0] = x;
  out[1] = y;
}

/** The noise of one seed. Reads of neighbouring tokens share a block, so ascending order is cheapest. */
export class Noise {
  readonly #key0: number;
  readonly #key1: number;
  readonly #block = new Uint32Array(2);
  #position = -1;
  #blockIndex = -1;

  readonly seed: number;

  /** `seed`: an integer in 0..2^53-1; throws a RangeError otherwise. */
  constructor(seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed > SEED_MAX) {
      throw new RangeError(`a noise seed is an integer in 0..${SEED_MAX}, not ${seed}`);
    }
    this.seed = seed;
    this.#key0 = seed | 0;
    this.#key1 = Math.floor(seed / TWO_POW_32) | 0;
  }

  /** 32 uniform bits of a token at a position (both 32-bit unsigned integers). */
  bits(position: number, token: number): number {
    const blockIndex = token >>> 1;
    if (blockIndex !== this.#blockIndex || position !== this.#position) {
      threefry2x32(this.#key0, this.#key1, position, blockIndex, this.#block);
      this.#blockIndex = blockIndex;
      this.#position = position;
    }
    return this.#block[token & 1]!;
  }

  /** Standard Gumbel noise of a token at a position. */
  gumbel(position: number, token: number): number {
    return gumbelOf(this.bits(position, token));
  }
}

/** 32 uniform bits of (seed, position, token). */
export function uniformBits(seed: number, position: number, token: number): number {
  return new Noise(seed).bits(position, token);
}

/** The uniform in (0, 1) that 32 bits stand for: the middle of their interval, never 0 or 1. */
export function uniformOf(bits: number): number {
  return (bits + 0.5) / TWO_POW_32;
}

/** Standard Gumbel noise -log(-log u): adding it to log-probabilities and taking the argmax samples. */
export function gumbelOf(bits: number): number {
  return -Math.log(-Math.log(uniformOf(bits)));
}
