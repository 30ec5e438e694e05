import { Noise } from "../../decoding/noise.ts";
import type { DraftCandidates, DraftContext, DraftEngine, DraftRequest } from "../draft-engine.ts";
import { rankChildren } from "./candidate-ranking.ts";
import { DraftContextError } from "./draft-context-error.ts";
import { type Child, expandTree, NO_CANDIDATES } from "./expansion.ts";
import { predictNgram } from "./ngram-prediction.ts";
import { SuffixText } from "./suffix-text.ts";

/** Counted frequencies are no model's probabilities: trust the noise less than for a draft head. */
const SHARPNESS = 1;

/** Drafts what followed the same tokens earlier in the prompt and the answer. Needs no model. */
export class NgramDraftEngine implements DraftEngine {
  readonly taps: readonly number[] = [];
  /** Resolves on `close`: there is nothing else that could end it. */
  readonly ended: Promise<undefined>;
  readonly #end: () => void;
  readonly #texts = new Map<string, SuffixText>();

  constructor() {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.ended = promise;
    this.#end = () => resolve(undefined);
  }

  async begin(session: string, tokens: Uint32Array): Promise<void> {
    const text = new SuffixText();
    text.write(0, tokens);
    this.#texts.set(session, text);
  }

  async extend({ session, position, nextTokens }: DraftContext): Promise<void> {
    const text = this.#texts.get(session);
    if (text === undefined) throw new DraftContextError(session, "it was not begun");
    if (position + 1 > text.length) {
      throw new DraftContextError(
        session,
        `rows from position ${position} leave a gap after ${text.length} tokens`,
      );
    }
    text.write(position + 1, nextTokens);
  }

  async expand(request: DraftRequest): Promise<DraftCandidates> {
    const { session, path, topK, sampling } = request;
    const text = this.#texts.get(session);
    if (text === undefined || text.at(text.length - 1) !== path[0]) return NO_CANDIDATES;
    const noise = sampling.temperature > 0 ? new Noise(sampling.seed) : undefined;
    const childrenAfter = (tail: readonly number[]): Child[] => {
      const { children } = predictNgram(text, tail);
      const position = text.length + tail.length;
      return rankChildren(children, topK, SHARPNESS, noise && { noise, position });
    };
    const below = path.slice(1);
    return expandTree(request, childrenAfter(below), async (frontier, pool) =>
      frontier.map((index) => childrenAfter([...below, ...pool.tokensTo(index)])),
    );
  }

  async release(session: string): Promise<void> {
    this.#texts.delete(session);
  }

  async close(): Promise<void> {
    this.#texts.clear();
    this.#end();
  }
}
