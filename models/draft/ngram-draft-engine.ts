import { predictNgram } from "./ngram-prediction.ts";
import { PredictingDraftEngine } from "./predicting-draft-engine.ts";

/** Drafts what followed the same tokens earlier in the prompt and the answer. */
export class NgramDraftEngine extends PredictingDraftEngine {
  constructor() {
    super((text, tail) => predictNgram(text, tail).children);
  }
}
