import { Noise } from "../../decoding/noise.ts";
import { PathTokens } from "../../decoding/path-tokens.ts";
import type { DraftCandidates, DraftContext, DraftEngine, DraftRequest } from "../draft-engine.ts";
import { adjustedChildren } from "./adjusted-children.ts";
import { type NoiseTrust, rankChildren } from "./candidate-ranking.ts";
import { DraftContextError } from "./draft-context-error.ts";
import { expandTree, NO_CANDIDATES, type Tell } from "./expansion.ts";
import { SuffixText } from "./suffix-text.ts";
import type { Child } from "./tree-growth.ts";

/** Counted frequencies are no model's probabilities. */
const NOISE_TRUST: NoiseTrust = { weight: 1, doubtMax: 0, sharpness: 1 };

interface TextSession {
  readonly text: SuffixText;
  /** The same tokens, for penalties. */
  readonly path: PathTokens;
}

/** Likely next tokens after a session's text and `tail` [tokens], which are guesses below it. */
export type TokenPredictor = (text: SuffixText, tail: readonly number[]) => readonly Child[];

/** Drafts what a plain function of the text predicts. Needs no model, and no features of the target's. */
export class PredictingDraftEngine implements DraftEngine {
  readonly taps: readonly number[] = [];
  /** Resolves on `close`: there is nothing else that could end it. */
  readonly ended: Promise<undefined>;
  readonly #end: () => void;
  readonly #predict: TokenPredictor;
  readonly #sessions = new Map<string, TextSession>();

  constructor(predict: TokenPredictor) {
    this.#predict = predict;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.ended = promise;
    this.#end = () => resolve(undefined);
  }

  async begin(session: string, tokens: Uint32Array, promptTokens = tokens.length): Promise<void> {
    const text = new SuffixText();
    const path = new PathTokens(promptTokens);
    text.write(0, tokens);
    path.write(0, tokens);
    this.#sessions.set(session, { text, path });
  }

  async extend({ session, position, nextTokens }: DraftContext): Promise<void> {
    const known = this.#sessions.get(session);
    if (known === undefined) throw new DraftContextError(session, "it was not begun");
    const { text, path } = known;
    if (position + 1 > text.length) {
      throw new DraftContextError(
        session,
        `rows from position ${position} leave a gap after ${text.length} tokens`,
      );
    }
    text.write(position + 1, nextTokens);
    path.write(position + 1, nextTokens);
  }

  async expand(request: DraftRequest, onFound?: Tell): Promise<DraftCandidates> {
    const { session, path, topK, sampling, coupled } = request;
    const known = this.#sessions.get(session);
    if (known === undefined || known.text.at(known.text.length - 1) !== path[0]) return NO_CANDIDATES;
    const { text } = known;
    const noise = coupled && sampling.temperature > 0 ? new Noise(sampling.seed) : undefined;
    const childrenAfter = (tail: readonly number[]): Child[] => {
      const counts = known.path.counts(sampling, tail);
      const { children } = adjustedChildren(this.#predict(text, tail), sampling, counts);
      const position = text.length + tail.length;
      return rankChildren(children, topK, NOISE_TRUST, noise && { noise, position });
    };
    const below = path.slice(1);
    return expandTree(
      request,
      childrenAfter(below),
      async (frontier, pool) => frontier.map((index) => childrenAfter([...below, ...pool.tokensTo(index)])),
      onFound,
    );
  }

  async release(session: string): Promise<void> {
    this.#sessions.delete(session);
  }

  async close(): Promise<void> {
    this.#sessions.clear();
    this.#end();
  }
}
