/** Rotation of each frequency of a head, as the model defines it. */
export interface RotaryConfig {
  readonly headDim: number;
  readonly base: number;
  /** [headDim / 2] divisors of the frequencies, for models with a stretched context. */
  readonly factors?: readonly number[];
}

/** Cosines and sines of the rotary embedding, computed in double and rounded once. */
export class Rotary {
  readonly #frequencies: Float64Array;

  constructor({ headDim, base, factors }: RotaryConfig) {
    this.#frequencies = Float64Array.from(
      { length: headDim / 2 },
      (_, i) => base ** ((-2 * i) / headDim) / (factors?.[i] ?? 1),
    );
  }

  /** Both [positions, headDim / 2]. */
  rows(positions: Uint32Array): { cos: Float32Array; sin: Float32Array } {
    const width = this.#frequencies.length;
    const cos = new Float32Array(positions.length * width);
    const sin = new Float32Array(positions.length * width);
    for (let i = 0, at = 0; i < positions.length; i++) {
      for (let f = 0; f < width; f++, at++) {
        const angle = positions[i]! * this.#frequencies[f]!;
        cos[at] = Math.cos(angle);
        sin[at] = Math.sin(angle);
      }
    }
    return { cos, sin };
  }
}
