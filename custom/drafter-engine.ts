import { PredictingDraftEngine } from "../models/draft/predicting-draft-engine.ts";
import type { Child } from "../models/draft/tree-growth.ts";
import type { Predict, Prediction } from "./drafter.ts";

/** Rounding of a user's own sums is forgiven. */
const SUM_MAX = 1 + 1e-6;

/** A prediction that can't be one; the message says what is wrong with it. */
export class PredictionError extends Error {
  override readonly name = "PredictionError";
}

/** Drafts what a user's function predicts. @throws {PredictionError} from `expand`. */
export const customDraftEngine = (predict: Predict, vocabularySize: number): PredictingDraftEngine =>
  new PredictingDraftEngine((text, tail) => checked(predict(text.followedBy(tail)), vocabularySize));

function checked(predictions: readonly Prediction[], vocabularySize: number): Child[] {
  let sum = 0;
  const seen = new Set<number>();
  for (const { token, probability } of predictions) {
    if (!Number.isInteger(token) || token < 0 || token >= vocabularySize) {
      throw new PredictionError(
        `token ${token} is not one of the model's, which are 0 to ${vocabularySize - 1}`,
      );
    }
    if (!(probability > 0 && probability <= SUM_MAX)) {
      throw new PredictionError(
        `token ${token} has probability ${probability}; it must be above 0 and 1 at most`,
      );
    }
    if (seen.has(token))
      throw new PredictionError(`token ${token} is predicted twice; add its probabilities up`);
    seen.add(token);
    sum += probability;
  }
  if (sum > SUM_MAX) throw new PredictionError(`the probabilities add up to ${sum}; that must be 1 at most`);
  return predictions.map(({ token, probability }) => ({
    token,
    logProb: Math.min(0, Math.log(probability)),
  }));
}
