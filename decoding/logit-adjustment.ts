import type { PathCounts } from "./path-tokens.ts";
import type { SamplingParams } from "./sampling-params.ts";

/** Logits that are not the target's own: what a drafter has in their place. */
export interface LogitSpace {
  /** Index of a token's logit; negative when it has none. */
  placeOf(token: number): number;
  /** What is missing from them to be the target's logits, about: log-probabilities lack their logarithmic total. */
  readonly shift: number;
  /** How much of each change is made. */
  readonly share: number;
}

/**
 * The first two steps of `Sampler`'s order: logit bias, then the penalties. They touch a few tokens only,
 * so the logits are changed in place, and `undo` puts the old ones back. Each step rounds to fp32.
 */
export class LogitAdjustment {
  readonly #places: number[] = [];
  readonly #before: number[] = [];

  /** Changes `logits` [vocabulary, or what `space` says]; `undo` comes before the next time. */
  apply(logits: Float32Array, params: SamplingParams, counts: PathCounts, space?: LogitSpace): void {
    const share = space?.share ?? 1;
    for (const { token, bias } of params.logitBias) {
      const place = space === undefined ? token : space.placeOf(token);
      if (isPlace(logits, place)) this.#set(logits, place, logits[place]! + share * bias);
    }
    const shift = space?.shift ?? 0;
    for (let i = 0; i < counts.tokens.length; i++) {
      const token = counts.tokens[i]!;
      const place = space === undefined ? token : space.placeOf(token);
      if (!isPlace(logits, place)) continue;
      const logit = logits[place]! + shift;
      const whole = penalised(logit, counts.inAnswer[i]!, params);
      this.#set(logits, place, (share === 1 ? whole : logit + share * (whole - logit)) - shift);
    }
  }

  undo(logits: Float32Array): void {
    for (let i = this.#places.length - 1; i >= 0; i--) logits[this.#places[i]!] = this.#before[i]!;
    this.#places.length = this.#before.length = 0;
  }

  #set(logits: Float32Array, place: number, value: number): void {
    this.#places.push(place);
    this.#before.push(logits[place]!);
    logits[place] = value;
  }
}

const isPlace = (logits: Float32Array, place: number): boolean => place >= 0 && place < logits.length;

/** The logit of a token that is on the path: repetition penalty first, then those that count the answer. */
function penalised(logit: number, inAnswer: number, params: SamplingParams): number {
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = params;
  const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
  return inAnswer === 0 ? repeated : repeated - inAnswer * frequencyPenalty - presencePenalty;
}
