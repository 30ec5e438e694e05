import { isDeepStrictEqual } from "node:util";
import { MASKED } from "../../decoding/live-rows.ts";
import { Noise } from "../../decoding/noise.ts";
import type { PathCounts, PathTokens } from "../../decoding/path-tokens.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import type { DraftCandidates, DraftContext, DraftRequest } from "../draft-engine.ts";
import { adjustedChildren } from "./adjusted-children.ts";
import type { CandidatePool } from "./candidate-pool.ts";
import { type NoiseTrust, rankChildren } from "./candidate-ranking.ts";
import { DraftContextError } from "./draft-context-error.ts";
import { expandTree, NO_CANDIDATES, type Tell } from "./expansion.ts";
import { HeadContext } from "./head-context.ts";
import type { HeadDistribution } from "./head-distribution.ts";
import type { HeadModel } from "./head-model.ts";
import { mixDistributions } from "./mixture.ts";
import { type NgramPrediction, predictNgram } from "./ngram-prediction.ts";
import type { SuffixText } from "./suffix-text.ts";
import type { Child } from "./tree-growth.ts";
import { VocabularyNoise } from "./vocabulary-noise.ts";

/** Verified rows of one pass; bounds the masks of a long prompt. */
const EXTEND_ROWS_MAX = 256;
/** Children remembered of a drafted node: the most that a request can use. */
const CHILDREN_MAX = 64;
/** Drafted nodes remembered below one root; beyond it they are computed again. */
const DRAFTED_NODES_MAX = 512;
/**
 * What makes 8,000 draws at temperature 1 most likely, at depths 1 to 5 of answers to prompts that are none of
 * the benchmarks': by the weight of the noise, a log-probability counts 1.5 times down to -5, and once below. At
 * temperatures of 0.5, 0.8 and 1.3 these two come out alike; sharpness is 0.42, 0.64 and 0.93 there, since a
 * head's errors grow as logits are divided.
 */
const noiseTrust = (temperature: number): NoiseTrust => ({
  weight: 1.5,
  doubtMax: 2.5,
  sharpness: 0.76 * temperature ** 0.8,
});

/** The last verified position: the draft tree grows below its next token. */
interface Tip {
  readonly nextToken: number;
  /** [hidden] */
  readonly features: Float32Array;
  /** [draftVocabulary] */
  readonly logProbs: Float32Array;
}

/** A drafted node that went through the head, so that its children are known. */
interface DraftedNode {
  readonly token: number;
  /** 1 for children of the root. */
  readonly depth: number;
  readonly parent: DraftedNode | undefined;
  /** Row in the cache. */
  readonly row: number;
  /** [hidden] */
  readonly features: Float32Array;
  /** Best first. */
  readonly children: readonly Child[];
  readonly known: Map<number, DraftedNode>;
}

interface Wanted {
  readonly parent: DraftedNode | undefined;
  readonly token: number;
}

export interface HeadSessionOptions {
  readonly name: string;
  readonly model: HeadModel;
  /** May be shared by all sessions of the model. */
  readonly distribution: HeadDistribution;
  /** Prompt and answer so far; the session goes on with it. */
  readonly path: PathTokens;
  /** The same, when n-gram predictions are mixed in; else undefined. */
  readonly text: SuffixText | undefined;
}

/** One session's context and draft tree. Its methods must not overlap. */
export class HeadSession {
  readonly #name: string;
  readonly #model: HeadModel;
  readonly #context: HeadContext;
  readonly #distribution: HeadDistribution;
  readonly #path: PathTokens;
  readonly #text: SuffixText | undefined;
  #tip: Tip | undefined;
  /** Children of the root that went through the head. */
  #known = new Map<number, DraftedNode>();
  #sampling = GREEDY;
  #coupled = true;
  #noise = new Noise(0);
  #vocabularyNoise: VocabularyNoise;

  constructor({ name, model, distribution, path, text }: HeadSessionOptions) {
    this.#name = name;
    this.#model = model;
    this.#distribution = distribution;
    this.#vocabularyNoise = new VocabularyNoise(model.vocabulary, this.#noise);
    this.#context = new HeadContext(model);
    this.#path = path;
    this.#text = text;
  }

  get allocatedBytes(): number {
    return this.#context.allocatedBytes + this.#vocabularyNoise.allocatedBytes;
  }

  /** Verified positions whose rows another session with this one's tokens could use. */
  rowsFor(other: HeadSession): number {
    // A row holds its position's next token, too.
    return Math.min(this.#context.verified, Math.max(0, this.#path.commonLength(other.#path) - 1));
  }

  /** Whether the other has all that this one could give to anybody. */
  isBeginningOf(other: HeadSession): boolean {
    return other.rowsFor(this) >= this.#context.verified;
  }

  /** Begins with a copy of the other's first `rows` rows, at most as many as it has for this one. Only when new. */
  copyContext(source: HeadSession, rows: number): void {
    this.#context.copyFrom(source.#context, rows);
  }

  async extend({ position, nextTokens, taps }: DraftContext): Promise<void> {
    const known = Math.min(this.#context.verified, this.#path.length - 1);
    if (position > known) {
      throw new DraftContextError(
        this.#name,
        `rows from position ${position} leave a gap after ${known} rows`,
      );
    }
    if (nextTokens.length === 0) return;
    this.#context.truncate(position);
    this.#known.clear();
    this.#tip = undefined;
    this.#path.write(position + 1, nextTokens);
    this.#text?.write(position + 1, nextTokens);
    const features = await this.#model.fuse(taps);
    for (let start = 0; start < nextTokens.length; start += EXTEND_ROWS_MAX) {
      const end = Math.min(nextTokens.length, start + EXTEND_ROWS_MAX);
      const { hidden } = this.#model;
      await this.#extendRows(
        features.subarray(start * hidden, end * hidden),
        nextTokens.subarray(start, end),
      );
    }
  }

  async #extendRows(features: Float32Array, tokens: Uint32Array): Promise<void> {
    const rows = tokens.length;
    const first = this.#context.verified;
    this.#context.reserve(rows);
    const newMask = new Float32Array(rows * rows);
    for (let row = 0; row < rows; row++) newMask.fill(MASKED, row * rows + row + 1, (row + 1) * rows);
    const outputs = await this.#model.forward(
      {
        features,
        tokens,
        positions: Uint32Array.from({ length: rows }, (_, i) => first + i),
        pastMask: this.#context.pastMask(Array.from({ length: rows }, () => [])),
        newMask,
        wanted: Uint32Array.of(rows - 1),
      },
      this.#context.cache,
    );
    this.#context.appendVerified(outputs.keysAndValues, rows);
    this.#tip = {
      nextToken: tokens[rows - 1]!,
      features: outputs.drafted.slice(-this.#model.hidden),
      logProbs: outputs.logProbs,
    };
  }

  /** `isCurrent` turns false when the result is no longer worth more work. */
  async expand(request: DraftRequest, isCurrent: () => boolean, onFound?: Tell): Promise<DraftCandidates> {
    const { path } = request;
    if (this.#tip === undefined || this.#tip.nextToken !== path[0]) return NO_CANDIDATES;
    this.#prepareTree(request);
    let end: DraftedNode | undefined;
    for (const token of path.slice(1)) {
      if (!isCurrent()) return NO_CANDIDATES;
      [end] = await this.#nodes([{ parent: end, token }]);
    }
    const rootChildren = end === undefined ? this.#rank(this.#tip.logProbs, []) : end.children;
    const nodes = new Map<number, DraftedNode>();
    const deepen = async (frontier: readonly number[], pool: CandidatePool) => {
      if (!isCurrent()) return undefined;
      const found = await this.#nodes(frontier.map((index) => wantedNode(pool, index, nodes, end)));
      frontier.forEach((index, i) => {
        nodes.set(index, found[i]!);
      });
      return found.map(({ children }) => children);
    };
    return expandTree(request, rootChildren, deepen, onFound);
  }

  #prepareTree({ sampling, coupled }: DraftRequest): void {
    const isSame = this.#coupled === coupled && isDeepStrictEqual(this.#sampling, sampling);
    if (isSame && this.#context.drafted < DRAFTED_NODES_MAX) return;
    this.#sampling = sampling;
    this.#coupled = coupled;
    this.#noise = new Noise(sampling.seed);
    this.#vocabularyNoise = new VocabularyNoise(this.#model.vocabulary, this.#noise);
    this.#known.clear();
    this.#context.forgetDrafted();
  }

  /** The nodes, from memory or else all in one pass. None may be another's ancestor. */
  async #nodes(wanted: readonly Wanted[]): Promise<DraftedNode[]> {
    const siblings = ({ parent }: Wanted) => parent?.known ?? this.#known;
    const missing = wanted.filter((want) => !siblings(want).has(want.token));
    if (missing.length > 0) {
      for (const node of await this.#draft(missing)) {
        (node.parent?.known ?? this.#known).set(node.token, node);
      }
    }
    return wanted.map((want) => siblings(want).get(want.token)!);
  }

  async #draft(wanted: readonly Wanted[]): Promise<DraftedNode[]> {
    const { hidden, vocabulary } = this.#model;
    const count = wanted.length;
    const tip = this.#tip!;
    this.#context.reserve(count);
    const features = new Float32Array(count * hidden);
    const newMask = new Float32Array(count * count).fill(MASKED);
    wanted.forEach(({ parent }, i) => {
      features.set((parent ?? tip).features, i * hidden);
      newMask[i * count + i] = 0;
    });
    const tipPosition = this.#context.verified - 1;
    const outputs = await this.#model.forward(
      {
        features,
        tokens: Uint32Array.from(wanted, ({ token }) => token),
        positions: Uint32Array.from(wanted, ({ parent }) => tipPosition + depthBelow(parent)),
        pastMask: this.#context.pastMask(wanted.map(({ parent }) => lineage(parent).map(({ row }) => row))),
        newMask,
        wanted: Uint32Array.from(wanted, (_, i) => i),
      },
      this.#context.cache,
    );
    const firstRow = this.#context.appendDrafted(outputs.keysAndValues, count);
    return wanted.map(({ parent, token }, i) => {
      const logProbs = outputs.logProbs.subarray(i * vocabulary.length, (i + 1) * vocabulary.length);
      return {
        token,
        depth: depthBelow(parent),
        parent,
        row: firstRow + i,
        features: outputs.drafted.slice(i * hidden, (i + 1) * hidden),
        children: this.#rank(logProbs, [...lineage(parent).map((node) => node.token), token]),
        known: new Map(),
      };
    });
  }

  /** Children of the node that `tail` [tokens below the root] leads to, best first. */
  #rank(logProbs: Float32Array, tail: readonly number[]): Child[] {
    const counts = this.#path.counts(this.#sampling, tail);
    // The row of position p predicts the token at p + 2: its own next token is known.
    const position = this.#context.verified + 1 + tail.length;
    const isCoupled = this.#coupled && this.#sampling.temperature > 0;
    const trust = noiseTrust(this.#sampling.temperature);
    const wide = isCoupled ? { noise: this.#vocabularyNoise, position, trust } : undefined;
    const shaped = this.#distribution.shaped(logProbs, this.#sampling, counts, wide);
    const mixed =
      this.#text === undefined ? shaped : this.#mix(shaped, predictNgram(this.#text, tail), counts);
    const coupling = isCoupled ? { noise: this.#noise, position } : undefined;
    return rankChildren(mixed, CHILDREN_MAX, trust, coupling);
  }

  #mix(shaped: readonly Child[], ngram: NgramPrediction, counts: PathCounts): Child[] {
    const { children, favour } = adjustedChildren(ngram.children, this.#sampling, counts);
    return mixDistributions(shaped, { ...ngram, children }, favour);
  }
}

const depthBelow = (parent: DraftedNode | undefined): number => (parent?.depth ?? 0) + 1;

/** The node and its ancestors, from the root's child downwards. */
function lineage(node: DraftedNode | undefined): DraftedNode[] {
  const nodes: DraftedNode[] = [];
  for (let at = node; at !== undefined; at = at.parent) nodes.push(at);
  return nodes.reverse();
}

function wantedNode(
  pool: CandidatePool,
  index: number,
  nodes: ReadonlyMap<number, DraftedNode>,
  end: DraftedNode | undefined,
): Wanted {
  const parent = pool.parent(index);
  return { parent: parent === -1 ? end : nodes.get(parent), token: pool.token(index) };
}
