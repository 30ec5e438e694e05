import type { PipelineCosts } from "../../decoding/costs.ts";
import { type NodeId, nodeId, type TokenId, tokenId } from "../../decoding/ids.ts";
import type { Policy } from "../../decoding/policies/policy.ts";
import type { Walk } from "../../decoding/segment.ts";
import { type FlowEffect, SessionFlow } from "../../decoding/session-flow.ts";
import type { Drafter } from "./drafter.ts";
import type { EventQueue } from "./event-queue.ts";
import type { PlayedSession } from "./guess.ts";
import { SessionMeasures } from "./measures.ts";
import type { Pipeline, PipelineClient } from "./pipeline.ts";
import type { FlightNode, FlightSegment, StageWork } from "./stage.ts";

export interface SessionOptions {
  readonly index: number;
  readonly play: PlayedSession;
  readonly policy: Policy;
  readonly costs: PipelineCosts;
  readonly events: EventQueue;
  readonly pipeline: Pipeline;
  readonly drafter: Drafter;
  readonly overheadMs: number;
  readonly worked: (work: StageWork) => void;
  readonly ended: () => void;
}

/** As in actors/tree-manager.ts: an expansion that takes longer is not waited for. */
const DRAFT_LATE_MS = 1000;
/** A timer never fires at once: else rounding could ask for the same moment for ever. */
const TIMER_MS_MIN = 0.001;
/** One token stands for the prompt: prefill is not measured. */
const PROMPT = [tokenId(0)];

/** A session as its tree manager plays it, with the verifier's walk by the known answer. */
export class Session implements PipelineClient {
  readonly measures = new SessionMeasures();
  readonly #options: SessionOptions;
  readonly #flow: SessionFlow;
  readonly #answer: readonly TokenId[];
  /** By node: position of the first wrong token on its path. */
  readonly #wrongAt = new Map<NodeId, number>();
  /** Tokens that the verifier's walk has made certain, the prompt's included; 0 before it has begun. */
  #certain = 0;
  /** Position of the last node of the true path that was sent. */
  #sentTo = 0;
  #wakeAtMs: number | undefined;

  constructor(options: SessionOptions) {
    const { play, policy, costs, events } = options;
    this.#options = options;
    this.#answer = play.tokens.map(tokenId);
    this.#flow = new SessionFlow({
      prompt: PROMPT,
      rule: { stopTokens: [], lastPosition: this.#lastPosition },
      policy,
      stageCount: costs.stageCount,
      chunkNodes: PROMPT.length,
      hasDrafter: true,
      costs: () => costs,
      now: () => events.nowMs,
    });
  }

  get index(): number {
    return this.#options.index;
  }

  /** The answer so far. */
  get tokens(): readonly TokenId[] {
    return this.#flow.journal.slice(PROMPT.length);
  }

  start(): void {
    const { index, play, pipeline, drafter, overheadMs, events } = this.#options;
    pipeline.begin(index, this);
    drafter.begin(index, play, (found) =>
      events.at(events.nowMs + overheadMs, () => {
        if (!this.#flow.ended) this.#apply(this.#flow.candidates(found));
      }),
    );
    this.#apply(this.#flow.start());
  }

  credited(sequence: number): void {
    if (!this.#flow.ended) this.#apply(this.#flow.credit(this.#flow.generation, sequence));
  }

  acknowledged(sequence: number, certain: number): void {
    if (!this.#flow.ended) this.#apply(this.#flow.acknowledge(this.#flow.generation, sequence, certain));
  }

  committed(sequence: number, walk: Walk): void {
    if (this.#flow.ended) return;
    this.#options.drafter.committed(this.index, walk.position + walk.tokens.length);
    this.measures.committed(walk, this.#options.events.nowMs);
    this.#apply(this.#flow.commit({ ...walk, generation: this.#flow.generation, segment: sequence }));
  }

  featuresCame(tap: number, end: number): void {
    this.#options.drafter.featuresCame(this.index, tap, end);
  }

  worked(work: StageWork): void {
    if (!this.#flow.ended) this.#options.worked(work);
  }

  /** Step-wise verification as in decoding/walk.ts, by the known answer. */
  verify({ nodes, committed }: FlightSegment): Walk | undefined {
    if (committed) this.#certain = nodes.length;
    const position = this.#certain;
    const accepted: NodeId[] = [];
    for (const node of nodes) {
      if (node.wrongAt <= node.position || node.position !== this.#certain - 1) continue;
      if (this.#certain > this.#lastPosition) break;
      accepted.push(node.id);
      this.#certain++;
    }
    if (accepted.length === 0) return undefined;
    const tokens = this.#answer.slice(position - PROMPT.length, this.#certain - PROMPT.length);
    if (!committed) this.measures.verified(this.#options.events.nowMs);
    const isNeeded = this.#certain <= this.#lastPosition;
    if (!committed && isNeeded && this.#sentTo < this.#certain - 1)
      this.measures.missed(this.#options.events.nowMs);
    return { nodes: accepted, tokens, position };
  }

  get #lastPosition(): number {
    return PROMPT.length + this.#answer.length - 1;
  }

  #apply(effects: readonly FlowEffect[]): void {
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: FlowEffect): void {
    const { events, pipeline, drafter, overheadMs } = this.#options;
    if (effect.type === "segment") pipeline.enter(this.#launch(effect));
    else if (effect.type === "wake") this.#wakeAt(effect.atMs);
    else if (effect.type === "expand") {
      events.at(events.nowMs + overheadMs, () => drafter.expand(this.index, effect));
      events.at(events.nowMs + DRAFT_LATE_MS, () => {
        if (!this.#flow.ended) this.#apply(this.#flow.draftLate(effect.base));
      });
    } else if (effect.type === "end") {
      pipeline.end(this.index);
      drafter.forget(this.index);
      this.#options.ended();
    }
  }

  #wakeAt(atMs: number): void {
    const { events } = this.#options;
    const dueMs = Math.max(atMs, events.nowMs + TIMER_MS_MIN);
    if (this.#wakeAtMs === dueMs) return;
    this.#wakeAtMs = dueMs;
    events.at(dueMs, () => {
      if (this.#wakeAtMs !== dueMs || this.#flow.ended) return;
      this.#wakeAtMs = undefined;
      this.#apply(this.#flow.wake());
    });
  }

  #launch(effect: Extract<FlowEffect, { type: "segment" }>): FlightSegment {
    const { ids, parents, tokens, positions } = effect.nodes;
    const nodes: FlightNode[] = [];
    for (const [index, id] of ids.entries()) {
      const position = positions[index] ?? 0;
      const above = this.#wrongAt.get(nodeId(parents[index] ?? 0)) ?? Number.POSITIVE_INFINITY;
      const isRight = effect.committed || tokens[index] === this.#answer[position - PROMPT.length];
      const wrongAt = Math.min(above, isRight ? Number.POSITIVE_INFINITY : position);
      this.#wrongAt.set(nodeId(id), wrongAt);
      if (wrongAt > position) this.#sentTo = Math.max(this.#sentTo, position);
      nodes.push({ id: nodeId(id), position, wrongAt });
    }
    if (!effect.committed) this.measures.sent(nodes.length);
    const { sequence, committed, certain } = effect;
    return { session: this.index, sequence, committed, certain, prunes: this.#options.policy.prunes, nodes };
  }
}
