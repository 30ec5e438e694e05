import type { DraftSize } from "../../decoding/policies/policy.ts";
import { parsePolicy } from "../../decoding/policies/registry.ts";
import { GREEDY } from "../../decoding/sampling-params.ts";
import type { DraftCandidates, DraftRequest } from "../../models/draft-engine.ts";
import type { TraceTree } from "../acceptance-trace.ts";
import { roundedScore } from "../trace-recorder.ts";
import type { OpenDrafter } from "./drafter-source.ts";
import type { TargetAnswer } from "./target-answer.ts";

/** Guesses among which the target's token is looked for. */
export const HIT_SIZES = [1, 4, 8] as const;
export const DEPTHS_MAX = 6;
/** Nodes of the passes that are timed. */
export const PASS_NODES = [1, 2, 4, 8, 16] as const;

/** At one depth: tokens that were to be guessed, and how many were among the first 1, 4, 8 guesses. */
export interface Hits {
  tokens: number;
  readonly within: [number, number, number];
}

/** Milliseconds that were measured while an answer was followed. */
export interface DraftTimes {
  /** To take in the features of one newly verified token. */
  readonly extendMs: number[];
  /** A single pass with so many nodes, ranking included. */
  readonly passMs: { readonly nodes: number; readonly ms: number }[];
  /** Expansions as policy `fullflow` asks for them, with nothing drafted before. */
  readonly expansions: { readonly ms: number; readonly passes: number; readonly nodes: number }[];
}

export interface FollowedAnswer {
  /** [DEPTHS_MAX] depth 1 first. */
  readonly hits: readonly Hits[];
  /** `trees[i]`: what is guessed below `tokens[i]`, as policy `survey` asks for it. */
  readonly trees: readonly TraceTree[];
  readonly times: DraftTimes;
}

export interface FollowOptions {
  readonly temperature: number;
  readonly seed: number;
  /** Whether guesses are ranked with the noise that the target will add. */
  readonly coupled: boolean;
}

/** Coupled or not is the follower's to say. */
type Size = Omit<DraftSize, "coupled">;

const LEVEL = { growth: "level", minProbability: 0 } as const;
const GUESSES: Size = { ...LEVEL, topK: 8, batch: 1, depth: 0, total: 8 };
const SURVEY = sizeOf("survey", LEVEL);
const FULLFLOW = sizeOf("fullflow", { ...LEVEL, growth: "best" });

function sizeOf(policy: string, size: Pick<Size, "growth" | "minProbability">): Size {
  const { topK = 1, batch = 1, depth = 0, total = 1, least = 0 } = parsePolicy(policy).parameters;
  return { ...size, topK, batch, depth, total, minProbability: least };
}

/**
 * Feeds an answer to a drafter token by token, as the stages would, and asks at each what it guesses: along
 * the true path, from its own features below the last verified token.
 */
export async function followAnswer(
  drafter: OpenDrafter,
  answer: TargetAnswer,
  { temperature, seed, coupled }: FollowOptions,
): Promise<FollowedAnswer> {
  const follower = new Follower(drafter, answer, { sampling: { ...GREEDY, temperature, seed }, coupled });
  try {
    return await follower.follow();
  } finally {
    await drafter.engine.release(follower.session);
  }
}

class Follower {
  readonly session = `follow-${crypto.randomUUID()}`;
  readonly #drafter: OpenDrafter;
  readonly #answer: TargetAnswer;
  readonly #request: Pick<DraftRequest, "sampling" | "coupled">;
  readonly #times = { extendMs: [], passMs: [], expansions: [] } as DraftTimes;
  readonly #hits: Hits[] = Array.from({ length: DEPTHS_MAX }, () => ({ tokens: 0, within: [0, 0, 0] }));

  constructor(
    drafter: OpenDrafter,
    answer: TargetAnswer,
    request: Pick<DraftRequest, "sampling" | "coupled">,
  ) {
    this.#drafter = drafter;
    this.#answer = answer;
    this.#request = request;
  }

  async follow(): Promise<FollowedAnswer> {
    const { prompt, tokens } = this.#answer;
    await this.#drafter.engine.begin(this.session, prompt);
    const trees: TraceTree[] = [];
    for (let root = 0; root < tokens.length - 1; root++) {
      if (root === 0) await this.#extend(0, prompt.length);
      else await this.#extendTimed(prompt.length + root - 1);
      if (root % 2 === 0) await this.#timePass(root, PASS_NODES[(root / 2) % PASS_NODES.length] ?? 1);
      else await this.#timeExpansion(root);
      await this.#countHits(root);
      trees.push(treeOf(await this.#expand([tokens[root] ?? 0], SURVEY)));
    }
    // Nothing is guessed below the last token.
    trees.push({ parents: [], tokens: [], scores: [] });
    return { hits: this.#hits, trees, times: this.#times };
  }

  /** Hands over the rows of positions [start, end). */
  async #extend(start: number, end: number): Promise<void> {
    const { prompt, tokens, rows } = this.#answer;
    const { engine } = this.#drafter;
    const positions = prompt.length + tokens.length - 1;
    const tokenAt = (position: number) => prompt[position] ?? tokens[position - prompt.length] ?? 0;
    const nextTokens = Uint32Array.from({ length: end - start }, (_, i) => tokenAt(start + i + 1));
    const taps = engine.taps.map((layer) => {
      const all = rows.get(layer);
      if (all === undefined) throw new Error(`layer ${layer} of the target was not tapped`);
      const width = all.length / positions;
      return all.slice(start * width, end * width);
    });
    await engine.extend({ session: this.session, position: start, nextTokens, taps });
  }

  async #extendTimed(position: number): Promise<void> {
    const begun = performance.now();
    await this.#extend(position, position + 1);
    this.#times.extendMs.push(performance.now() - begun);
  }

  /** One pass that deepens `nodes` children of the root; nothing is known of them yet. */
  async #timePass(root: number, nodes: number): Promise<void> {
    const size = { ...LEVEL, topK: nodes, batch: nodes, depth: 1, total: nodes * (nodes + 2) };
    const path = [this.#answer.tokens[root] ?? 0];
    const begun = performance.now();
    await this.#expand(path, size);
    this.#times.passMs.push({ nodes, ms: performance.now() - begun });
  }

  async #timeExpansion(root: number): Promise<void> {
    const { counted } = this.#drafter;
    const before = { ...counted };
    const begun = performance.now();
    await this.#expand([this.#answer.tokens[root] ?? 0], FULLFLOW);
    const ms = performance.now() - begun;
    const passes = counted.passes - before.passes;
    this.#times.expansions.push({ ms, passes, nodes: counted.nodes - before.nodes });
  }

  async #countHits(root: number): Promise<void> {
    const { tokens } = this.#answer;
    for (const [index, hits] of this.#hits.entries()) {
      const wanted = tokens[root + index + 1];
      if (wanted === undefined) return;
      const path = tokens.slice(root, root + index + 1);
      const place = (await this.#expand(path, GUESSES)).tokens.indexOf(wanted);
      hits.tokens += 1;
      HIT_SIZES.forEach((size, i) => {
        if (place >= 0 && place < size) hits.within[i] = (hits.within[i] ?? 0) + 1;
      });
    }
  }

  #expand(path: readonly number[], size: Size): Promise<DraftCandidates> {
    return this.#drafter.engine.expand({ session: this.session, path, ...size, ...this.#request });
  }
}

const treeOf = ({ parents, tokens, scores }: DraftCandidates): TraceTree => ({
  parents: [...parents],
  tokens: [...tokens],
  scores: Array.from(scores, roundedScore),
});
