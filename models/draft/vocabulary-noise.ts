import type { Noise } from "../../decoding/noise.ts";

/** Positions remembered: those of a draft tree's levels, and some more. */
const POSITIONS_MAX = 16;

interface Row {
  position: number;
  /** [draftVocabulary] */
  readonly gumbel: Float32Array;
}

/**
 * The target's noise of all draft tokens. It depends on the position alone, so all nodes of a level share a
 * row, and so do the trees of several roots: a row is computed about once for each token of the answer.
 */
export class VocabularyNoise {
  readonly #vocabulary: Int32Array;
  readonly #noise: Noise;
  readonly #rows = new Map<number, Row>();

  /** `vocabulary`: [draftVocabulary] token ids. */
  constructor(vocabulary: Int32Array, noise: Noise) {
    this.#vocabulary = vocabulary;
    this.#noise = noise;
  }

  get allocatedBytes(): number {
    return this.#rows.size * this.#vocabulary.length * Float32Array.BYTES_PER_ELEMENT;
  }

  /** [draftVocabulary], valid until the next call. */
  at(position: number): Float32Array {
    const place = position % POSITIONS_MAX;
    let row = this.#rows.get(place);
    if (row?.position === position) return row.gumbel;
    row ??= { position, gumbel: new Float32Array(this.#vocabulary.length) };
    row.position = position;
    const { gumbel } = row;
    const noise = this.#noise;
    this.#vocabulary.forEach((token, i) => {
      gumbel[i] = noise.gumbel(position, token);
    });
    this.#rows.set(place, row);
    return gumbel;
  }
}
