import { type TokenId, tokenId } from "./ids.ts";
import { LogitAdjustment } from "./logit-adjustment.ts";
import { GUMBEL_MAX, gumbelOf, Noise, uniformOf } from "./noise.ts";
import { NO_COUNTS, type PathCounts } from "./path-tokens.ts";
import type { SamplingParams } from "./sampling-params.ts";
import { Nucleus, topK } from "./truncation.ts";

/** Thrown for logits that name no token: NaN or +Infinity among them, or nothing but -Infinity. */
export class LogitsError extends Error {
  override readonly name = "LogitsError";
}

/** Rounding slack of the rejection test, far above double precision and far below any effect on speed. */
const SLACK = 1e-9;

/**
 * Draws target tokens. The steps, in this order:
 * 1. logit bias, added;
 * 2. repetition penalty (prompt and answer), then frequency and presence penalty (answer);
 * 3. at temperature 0, the argmax; nothing below counts;
 * 4. top-k, then top-p on the softmax of what is left, then min-p: what each keeps is a head of the same
 *    ranking. All look at tempered probabilities, as in vLLM and transformers; llama.cpp tempers last;
 * 5. the argmax of logit / T + Gumbel(seed, position, token), which is one draw from that distribution.
 * The result is a pure function of the arguments; the instance only owns scratch memory.
 */
export class Sampler {
  #scratch = new Int32Array(0);
  readonly #nucleus = new Nucleus();
  readonly #adjustment = new LogitAdjustment();
  #noise = new Noise(0);

  /**
   * `logits`: [vocabulary]; -Infinity bans a token; afterwards they are what they were. `counts`: of the
   * tokens before `position`. Throws LogitsError.
   */
  sample(
    logits: Float32Array,
    params: SamplingParams,
    position: number,
    counts: PathCounts = NO_COUNTS,
  ): TokenId {
    this.#adjustment.apply(logits, params, counts);
    try {
      return tokenId(this.#draw(logits, params, position));
    } finally {
      this.#adjustment.undo(logits);
    }
  }

  #draw(logits: Float32Array, params: SamplingParams, position: number): number {
    const best = argmax(logits);
    const { temperature, topK: k, topP, minP, seed } = params;
    if (temperature === 0) return best;
    if (seed !== this.#noise.seed) this.#noise = new Noise(seed);
    const least = minP > 0 ? logits[best]! + temperature * Math.log(minP) : Number.NEGATIVE_INFINITY;
    const race = new GumbelRace(logits, temperature, this.#noise, position, best);
    if ((k > 0 && k < logits.length) || topP < 1) {
      const kept = this.#truncate(logits, params, best);
      for (let i = 0; i < kept; i++) {
        const token = this.#scratch[i]!;
        if (logits[token]! >= least) race.enter(token);
      }
    } else {
      for (let token = 0; token < logits.length; token++) if (logits[token]! >= least) race.enter(token);
    }
    return race.winner;
  }

  /** Leaves the kept tokens at the front of the scratch and gives their number. */
  #truncate(logits: Float32Array, params: SamplingParams, best: number): number {
    if (this.#scratch.length < logits.length) this.#scratch = new Int32Array(logits.length);
    const kept = topK(logits, params.topK, this.#scratch);
    if (params.topP >= 1) return kept;
    return this.#nucleus.keep(logits, this.#scratch.subarray(0, kept), {
      temperature: params.temperature,
      topP: params.topP,
      max: logits[best]!,
    });
  }
}

/** The target's token at `position`; see `Sampler`, which saves the allocations of repeated calls. */
export function sampleToken(logits: Float32Array, params: SamplingParams, position: number): TokenId {
  return new Sampler().sample(logits, params, position);
}

/** Index of the largest logit, the lowest on ties. Throws LogitsError. */
export function argmax(logits: Float32Array): number {
  let best = -1;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i]!;
    if (logit > max) {
      max = logit;
      best = i;
    } else if (Number.isNaN(logit)) {
      throw new LogitsError(`logit ${i} of ${logits.length} is NaN`);
    }
  }
  if (best === -1) throw new LogitsError(`none of ${logits.length} logits is above -Infinity`);
  if (max === Number.POSITIVE_INFINITY) throw new LogitsError(`logit ${best} is +Infinity`);
  return best;
}

/**
 * Argmax of logit / T + Gumbel noise over the tokens that enter. Most tokens are far behind and are
 * sorted out without a logarithm, many without their noise, by bounds that hold exactly:
 * Gumbel noise is at most GUMBEL_MAX; and g = -log(-log u) > d needs -log u < exp(-d), where
 * -log u >= 1 - u and exp(d) >= (1 + d/8)^8 for d >= -8.
 */
class GumbelRace {
  winner: number;
  #score: number;
  readonly #logits: Float32Array;
  readonly #temperature: number;
  readonly #noise: Noise;
  readonly #position: number;

  /** `first`: a likely winner (the argmax), so that the bounds bite from the start. */
  constructor(logits: Float32Array, temperature: number, noise: Noise, position: number, first: number) {
    this.#logits = logits;
    this.#temperature = temperature;
    this.#noise = noise;
    this.#position = position;
    this.winner = first;
    this.#score = logits[first]! / temperature + noise.gumbel(position, first);
  }

  enter(token: number): void {
    const base = this.#logits[token]! / this.#temperature;
    const deficit = this.#score - base;
    if (deficit > GUMBEL_MAX + SLACK) return;
    const bits = this.#noise.bits(this.#position, token);
    if (deficit > 0) {
      let bound = 1 + deficit / 8;
      bound *= bound;
      bound *= bound;
      bound *= bound;
      if ((1 - uniformOf(bits)) * bound > 1 + SLACK) return;
    }
    const score = base + gumbelOf(bits);
    if (score > this.#score || (score === this.#score && token < this.winner)) {
      this.#score = score;
      this.winner = token;
    }
  }
}
