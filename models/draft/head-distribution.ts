import { LogitAdjustment, type LogitSpace } from "../../decoding/logit-adjustment.ts";
import { NO_COUNTS, type PathCounts } from "../../decoding/path-tokens.ts";
import type { SamplingParams } from "../../decoding/sampling-params.ts";
import { topK } from "../../decoding/truncation.ts";
import { believed, type NoiseTrust } from "./candidate-ranking.ts";
import type { Child } from "./tree-growth.ts";
import type { VocabularyNoise } from "./vocabulary-noise.ts";

/** Most likely draft tokens that are looked at where the noise does not choose them. */
const CANDIDATES_MAX = 128;
/** Tokens that the noise chooses: as many as a request can ask for. */
const COUPLED_MAX = 64;

/** The noise that the target will add, and how far it tells the choice. */
export interface VocabularyCoupling {
  readonly noise: VocabularyNoise;
  /** Absolute position of the candidate tokens. */
  readonly position: number;
  readonly trust: NoiseTrust;
}

/**
 * Where a guess's log-probability lies among the target's logits. `shift`: the logarithmic total, in the mean
 * over the default model's answers (its standard deviation is 7); only the repetition penalty depends on it.
 * `share`: guesses lie closer together than the target's logits, so that changes as large as the target's
 * would turn them over too often. This one finds the most: over 850 tokens at each repetition penalty of 1.1,
 * 1.2 and 1.3 the first guess was right 27, 20 and 16% of the time; with all of the change 23, 18 and 16%,
 * with none 26, 17 and 12%. For the penalties that count the answer it makes next to no difference.
 */
export const GUESS_SPACE = { shift: 27, share: 0.3 } as const;

/**
 * Of min-p: where the target drops a token, a guess may still be wrong about that. Over 840 tokens at
 * temperature 1 and min-p 0.1, one of the first four guesses was right 61% of the time; 59% with all of it,
 * 58% with none.
 */
export const MIN_P_SHARE = 0.5;

/** A draft head's distribution as the target's sampler would shape it; see `Sampler` for the steps. */
export class HeadDistribution {
  readonly #vocabulary: Int32Array;
  readonly #adjustment = new LogitAdjustment();
  readonly #space: LogitSpace;
  /** By token id: its place in the vocabulary, or -1. Made when it is first needed. */
  #places: Int32Array | undefined;
  /** Scratch memory [draftVocabulary]. */
  #sums: Float32Array | undefined;

  /** `vocabulary`: [draftVocabulary] token ids. */
  constructor(vocabulary: Int32Array) {
    this.#vocabulary = vocabulary;
    this.#space = { placeOf: (token) => this.#placeOf(token), ...GUESS_SPACE };
  }

  /**
   * The most likely tokens, best first, with their log-probabilities. `logProbs`: [draftVocabulary], and
   * afterwards what they were. `counts`: of the tokens before. With a coupling, and where the sampler cuts
   * nothing off, they are those that are likeliest to be drawn with that noise, in no particular order.
   */
  shaped(
    logProbs: Float32Array,
    sampling: SamplingParams,
    counts: PathCounts = NO_COUNTS,
    coupling?: VocabularyCoupling,
  ): Child[] {
    if (sampling.logitBias.length === 0 && counts.tokens.length === 0) {
      return this.#chosen(logProbs, sampling, 0, coupling);
    }
    this.#adjustment.apply(logProbs, sampling, counts, this.#space);
    try {
      return this.#chosen(logProbs, sampling, logSum(logProbs), coupling);
    } finally {
      this.#adjustment.undo(logProbs);
    }
  }

  /** `logMass`: logarithm of the sum of exp(logits). */
  #chosen(
    logits: Float32Array,
    sampling: SamplingParams,
    logMass: number,
    coupling: VocabularyCoupling | undefined,
  ): Child[] {
    const { temperature, topK: k, topP, minP } = sampling;
    const isWhole = k === 0 && topP === 1 && minP === 0;
    if (coupling === undefined || temperature === 0 || !isWhole) {
      return truncated(logits, this.#vocabulary, sampling, logMass);
    }
    const scale = 1 / temperature;
    return this.#drawn(logits, scale, scale === 1 ? logMass : logSum(logits, scale), coupling);
  }

  /**
   * Those with the greatest sums of belief and noise, in all of the vocabulary: one in ten of the draft tokens
   * that a target draws at temperature 1 is none of the likeliest 128, and its noise is what gives it away.
   */
  #drawn(
    logits: Float32Array,
    scale: number,
    logTotal: number,
    { noise, position, trust }: VocabularyCoupling,
  ): Child[] {
    const gumbel = noise.at(position);
    this.#sums ??= new Float32Array(logits.length);
    const sums = this.#sums;
    for (let i = 0; i < sums.length; i++) {
      sums[i] = believed(logits[i]! * scale - logTotal, trust) + gumbel[i]!;
    }
    const indices = new Int32Array(Math.min(COUPLED_MAX, sums.length));
    topK(sums, indices.length, indices);
    return Array.from(indices, (index) => ({
      token: this.#vocabulary[index]!,
      logProb: Math.min(logits[index]! * scale - logTotal, 0),
    }));
  }

  #placeOf(token: number): number {
    this.#places ??= placesOf(this.#vocabulary);
    return this.#places[token] ?? -1;
  }
}

function placesOf(vocabulary: Int32Array): Int32Array {
  const places = new Int32Array(vocabulary.reduce((most, id) => Math.max(most, id), 0) + 1).fill(-1);
  vocabulary.forEach((id, place) => {
    places[id] = place;
  });
  return places;
}

/** Tempered, then cut by top-k, top-p and min-p. `logMass`: logarithm of the sum of exp(logits). */
function truncated(
  logits: Float32Array,
  vocabulary: Int32Array,
  { temperature, topK: k, topP, minP }: SamplingParams,
  logMass: number,
): Child[] {
  const isGreedy = temperature === 0;
  const isCut = !isGreedy && k > 0 && k <= CANDIDATES_MAX;
  const indices = new Int32Array(Math.min(isCut ? k : CANDIDATES_MAX, logits.length));
  topK(logits, indices.length, indices);
  indices.sort((a, b) => logits[b]! - logits[a]! || a - b);
  const scale = isGreedy ? 1 : 1 / temperature;
  const tempered = Float64Array.from(indices, (index) => logits[index]! * scale);
  const isWhole = scale === 1 && !isCut;
  const logTotal = isWhole ? logMass : isCut ? logSum(tempered) : logSum(logits, scale);
  let kept = indices.length;
  if (!isGreedy && topP < 1) kept = nucleusSize(tempered, logTotal, topP);
  if (!isGreedy && minP > 0) kept = likelySize(tempered.subarray(0, kept), minP * MIN_P_SHARE);
  const logKept = kept < indices.length ? logSum(tempered.subarray(0, kept)) : logTotal;
  return Array.from(indices.subarray(0, kept), (index, i) => ({
    token: vocabulary[index]!,
    logProb: Math.min(tempered[i]! - logKept, 0),
  }));
}

/** Leading entries of the descending `tempered` whose mass reaches `topP`; all of them if they don't. */
function nucleusSize(tempered: Float64Array, logTotal: number, topP: number): number {
  let mass = 0;
  for (let i = 0; i < tempered.length; i++) {
    mass += Math.exp(tempered[i]! - logTotal);
    if (mass >= topP) return i + 1;
  }
  return tempered.length;
}

/** Leading entries of the descending `tempered` that are at least `minP` times as likely as the first. */
function likelySize(tempered: Float64Array, minP: number): number {
  const least = tempered[0]! + Math.log(minP);
  const end = tempered.findIndex((logit) => logit < least);
  return end < 0 ? tempered.length : end;
}

function logSum(values: Float32Array | Float64Array, scale = 1): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) max = Math.max(max, values[i]!);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp((values[i]! - max) * scale);
  return max * scale + Math.log(sum);
}
