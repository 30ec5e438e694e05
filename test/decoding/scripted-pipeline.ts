import { PipelineCosts } from "../../decoding/costs.ts";
import { tokenId } from "../../decoding/ids.ts";
import type { Policy } from "../../decoding/policies/policy.ts";
import type { Walk } from "../../decoding/segment.ts";
import { type FlowEffect, SessionFlow, toTokens } from "../../decoding/session-flow.ts";
import { Verification } from "../../decoding/walk.ts";

export const COSTS = new PipelineCosts([[{ nodes: 1, ms: 1 }]]);

/** The target's token after a path: any fixed function of the whole path will do. */
function targetAfter(path: readonly number[]): number {
  let hash = 2166136261;
  for (const token of path) hash = Math.imul(hash ^ token, 16777619) >>> 0;
  return (hash >>> 7) % 5;
}

export function plainDecoding(prompt: number[], count: number): number[] {
  const path = [...prompt];
  while (path.length < prompt.length + count) path.push(targetAfter(path));
  return path;
}

/** Numbers below a bound, from a list that is read round and round. */
export function drawFrom(numbers: readonly number[]): (bound: number) => number {
  let at = 0;
  return (bound) => numbers[at++ % numbers.length]! % bound;
}

type Expand = Extract<FlowEffect, { type: "expand" }>;
type Sent = Extract<FlowEffect, { type: "segment" }>;

/** A pipeline whose stages, verifier and drafter answer in any order that the draws say. */
export class ScriptedPipeline {
  readonly flow: SessionFlow;
  readonly #rule: { stopTokens: number[]; lastPosition: number };
  readonly #draw: (bound: number) => number;
  readonly #stageCount: number;
  #verification: Verification;
  #generation = -1;
  #segments: Sent[] = [];
  #credits: Sent[] = [];
  #expansions: Expand[] = [];
  #events: (() => FlowEffect[])[] = [];
  #pathOf = new Map<number, number[]>();
  /** Moves on by one with each step: the order of events is what counts here, not their time. */
  #nowMs = 0;
  #wakeAtMs: number | undefined;
  readonly #timing = { costs: () => COSTS, now: () => this.#nowMs };
  ends = 0;
  greatestInFlight = 0;

  constructor(prompt: number[], count: number, policy: Policy, draw: (bound: number) => number) {
    this.#draw = draw;
    this.#stageCount = 1 + draw(4);
    this.#rule = { stopTokens: [], lastPosition: prompt.length + count - 1 };
    this.#verification = new Verification(this.#rule);
    const options = { prompt: toTokens(prompt), rule: this.#rule, policy, hasDrafter: true, ...this.#timing };
    this.flow = new SessionFlow({ ...options, stageCount: this.#stageCount, chunkNodes: 1 + draw(4) });
  }

  async run(lossEvery: number): Promise<void> {
    this.#take(this.flow.start());
    for (let step = 1; step < 20_000 && !this.flow.ended; step++) {
      await this.#step(step % lossEvery === (step >> 7) % lossEvery);
    }
  }

  async #step(lose: boolean): Promise<void> {
    this.#nowMs++;
    const ready = [this.#segments, this.#credits, this.#expansions, this.#events].filter(
      (list) => list.length > 0,
    );
    const list = ready[this.#draw(Math.max(1, ready.length))];
    if (list === undefined)
      return this.#take(this.#wakeAtMs === undefined ? this.flow.replay() : this.#wake());
    if (list === this.#events) {
      const event = this.#events.shift()!;
      if (!lose) this.#take(event());
    } else if (list === this.#credits) {
      const { generation, sequence } = this.#credits.shift()!;
      this.#take(this.flow.credit(generation, sequence));
    } else if (list === this.#expansions) this.#draft(this.#expansions.shift()!);
    else await this.#verify(this.#segments.shift()!);
  }

  #wake(): FlowEffect[] {
    this.#nowMs = Math.max(this.#nowMs, this.#wakeAtMs ?? 0);
    this.#wakeAtMs = undefined;
    return this.flow.wake();
  }

  #take(effects: FlowEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "segment") {
        this.#segments.push(effect);
        this.#credits.push(effect);
      } else if (effect.type === "expand") this.#expansions.push(effect);
      else if (effect.type === "wake") this.#wakeAtMs = effect.atMs;
      else if (effect.type === "end") this.ends++;
    }
    const inFlight = this.#segments.filter((segment) => segment.generation === this.flow.generation).length;
    this.greatestInFlight = Math.max(this.greatestInFlight, inFlight);
  }

  async #verify(segment: Sent): Promise<void> {
    const { generation, sequence, committed, nodes } = segment;
    if (generation > this.#generation) {
      this.#generation = generation;
      this.#verification = new Verification(this.#rule);
      this.#pathOf.clear();
    } else if (generation < this.#generation) return;
    nodes.ids.forEach((id, i) => {
      const above = this.#pathOf.get(nodes.parents[i]!) ?? [];
      this.#pathOf.set(id, [...above, nodes.tokens[i]!]);
    });
    const target = async (index: number) => tokenId(targetAfter(this.#pathOf.get(nodes.ids[index]!)!));
    const last = nodes.ids.length - 1;
    let walk: Walk | undefined;
    if (!committed) walk = await this.#verification.advance(nodes, target);
    else if (nodes.positions[last] === this.flow.journal.length - 1) {
      walk = await this.#verification.begin(nodes, last, target);
    }
    const found = walk;
    const { certain } = this.#verification;
    this.#events.push(() =>
      found === undefined
        ? this.flow.acknowledge(generation, sequence, certain)
        : this.flow.commit({ ...found, generation, segment: sequence }),
    );
  }

  /** Some right guesses, some wrong ones, sometimes none. */
  #draft({ generation, base, position }: Expand): void {
    const parents: number[] = [];
    const tokens: number[] = [];
    const scores: number[] = [];
    const path = [...this.flow.journal.slice(0, position + 1)].map(Number);
    let parent = -1;
    for (let depth = this.#draw(6); depth > 0; depth--) {
      const right = targetAfter(path);
      const guess = this.#draw(3) > 0 ? right : (right + 1) % 5;
      for (const token of [guess, (guess + 2) % 5]) {
        parents.push(parent);
        tokens.push(token);
        scores.push((parent < 0 ? 0 : scores[parent]!) - (token === guess ? 0.3 : 1.5));
      }
      parent = tokens.length - 2;
      path.push(guess);
    }
    this.#events.push(() =>
      this.flow.candidates({ generation, base, position, parents, tokens, scores, more: false }),
    );
  }
}
