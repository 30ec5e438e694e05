import type { PipelineCosts } from "./costs.ts";
import { DraftTree } from "./draft-tree.ts";
import { FirstStage } from "./first-stage.ts";
import { NO_NODE, type NodeId, nodeId, type TokenId, tokenId } from "./ids.ts";
import { type DraftSize, mayPublish, type Policy, type PolicyView } from "./policies/policy.ts";
import { chunkLength } from "./prompt-chunks.ts";
import type { SegmentNodes, Walk } from "./segment.ts";
import { type EndRule, endsAt } from "./walk.ts";

/** What the tree manager must do next; the flow itself does no I/O. */
export type FlowEffect =
  | {
      readonly type: "begin";
      readonly generation: number;
      readonly tokens: readonly TokenId[];
      /** Of them, the first that are not sent, as stages and drafter have their rows. */
      readonly reused: number;
    }
  | {
      readonly type: "segment";
      readonly generation: number;
      readonly sequence: number;
      /** Prompt chunk: the nodes are certain. */
      readonly committed: boolean;
      /** Tokens that are certain when it leaves, the prompt's included. */
      readonly certain: number;
      readonly nodes: SegmentNodes;
    }
  | {
      readonly type: "expand";
      readonly generation: number;
      readonly base: NodeId;
      readonly position: number;
      readonly path: readonly TokenId[];
      readonly size: DraftSize;
    }
  /** Call `wake` at that time; replaces an earlier wish. */
  | { readonly type: "wake"; readonly atMs: number }
  | { readonly type: "end"; readonly reason: "stop" | "length" };

export interface FlowCommit extends Walk {
  readonly generation: number;
  /** Sequence of the segment that moved the walk. */
  readonly segment: number;
}

export interface FlowCandidates {
  readonly generation: number;
  readonly base: NodeId;
  readonly position: number;
  readonly parents: readonly number[];
  readonly tokens: readonly number[];
  readonly scores: readonly number[];
  /** True when the drafter goes on with this expansion and will tell of more. */
  readonly more: boolean;
}

export interface FlowOptions {
  readonly prompt: readonly TokenId[];
  readonly rule: EndRule;
  readonly policy: Policy;
  readonly stageCount: number;
  /** Prompt tokens a segment, at most. */
  readonly chunkNodes: number;
  readonly hasDrafter: boolean;
  /** The first tokens of prompt and answer that stages and drafter are expected to have rows of; not all of them. */
  readonly reused?: number;
  /** Tokens of the answer that are certain already, when a session goes on elsewhere. */
  readonly accepted?: readonly TokenId[];
  /** To begin with; higher than any that this session has had. */
  readonly generation?: number;
  /** The newest measured t(n) of the stages. */
  readonly costs: () => PipelineCosts;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** What of a pipeline a flow must know; another placement may change all of it. */
export type FlowPipeline = Pick<FlowOptions, "policy" | "stageCount" | "hasDrafter">;

export interface FlowStats {
  readonly commits: number;
  readonly draftTokens: number;
  readonly acceptedTokens: number;
  readonly segments: number;
  /** Moves of the root to a node that had not been sent: the pipeline had to be begun anew from there. */
  readonly misses: number;
  readonly replays: number;
  /** Tokens of the prompt that were not computed, but for replays of what was lost. */
  readonly cachedTokens: number;
  /** Segments of the draft tree, prompt chunks not counted, and the nodes in them. */
  readonly treeSegments: number;
  readonly treeNodes: number;
}

/** Expansions in a row that may come too late before the flow stops waiting for the drafter. */
const LATE_EXPANSIONS_MAX = 3;

/**
 * One session's way through the pipeline: prompt chunks, then segments as the policy cuts them, within a
 * window of segments end to end. It owns the accepted tokens (the journal). Stages and drafter hold soft
 * state only: when something was lost, the flow raises the generation and sends the journal again as a
 * prompt; the target's tokens are a pure function of the path, so the text does not change.
 */
export class SessionFlow {
  readonly #options: FlowOptions;
  readonly #journal: TokenId[];
  #pipeline: FlowPipeline;
  #generation: number;
  #sent = -1;
  #verified = -1;
  /** Journal tokens before this one are not sent in this generation: their rows are there already. */
  #reused: number;
  /** Journal tokens from here on have not been sent as prompt chunks in this generation. */
  #prefilled: number;
  #nextId = 0;
  #tree: DraftTree | undefined;
  #drafting: NodeId | undefined;
  #lateExpansions = 0;
  #ended = false;
  readonly #draftIds = new Set<NodeId>();
  readonly #firstStage = new FirstStage();
  #stats = {
    commits: 0,
    draftTokens: 0,
    acceptedTokens: 0,
    segments: 0,
    misses: 0,
    replays: 0,
    cachedTokens: 0,
    treeSegments: 0,
    treeNodes: 0,
  };

  constructor(options: FlowOptions) {
    if (options.prompt.length === 0) throw new RangeError("a prompt has at least one token");
    this.#options = options;
    this.#pipeline = options;
    this.#generation = options.generation ?? 0;
    this.#journal = [...options.prompt, ...(options.accepted ?? [])];
    this.#reused = options.reused ?? 0;
    this.#prefilled = this.#reused;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Prompt and accepted tokens, by position. */
  get journal(): readonly TokenId[] {
    return this.#journal;
  }

  /** Of the journal's first tokens, how many are not sent in this generation. */
  get reused(): number {
    return this.#reused;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get stats(): FlowStats {
    return this.#stats;
  }

  start(): FlowEffect[] {
    const accepted = this.#journal.length - this.#options.prompt.length;
    const last = this.#journal.at(-1);
    if (accepted > 0 && last !== undefined && endsAt(this.#options.rule, last, this.#journal.length - 1)) {
      return this.#end(last);
    }
    return [...this.#begin(), ...this.#pump()];
  }

  /** Something was lost, or a stage started anew: sends all that is certain again, but for the first `reused` tokens. */
  replay(reused = 0): FlowEffect[] {
    if (this.#ended) return [];
    this.#generation++;
    this.#reused = reused;
    this.#sent = this.#verified = -1;
    this.#firstStage.reset();
    this.#prefilled = reused;
    this.#nextId = this.#tree?.nextId ?? this.#nextId;
    this.#tree = undefined;
    this.#drafting = undefined;
    this.#draftIds.clear();
    this.#stats.replays++;
    this.#lateExpansions = 0;
    this.#pipeline.policy.rootMoved(false);
    return this.start();
  }

  /** Another placement: begins anew there. */
  move(pipeline: FlowPipeline): FlowEffect[] {
    this.#pipeline = pipeline;
    return this.replay();
  }

  credit(generation: number, segment: number): FlowEffect[] {
    if (generation !== this.#generation) return [];
    this.#firstStage.finished(segment, this.#options.now(), true);
    return this.#pump();
  }

  /** The verifier's walk stood still at `certain` known tokens; if that is more than ours, a commit was lost. */
  acknowledge(generation: number, segment: number, certain: number): FlowEffect[] {
    if (generation !== this.#generation) return [];
    if (certain > this.#journal.length) return this.replay();
    this.#verify(segment);
    return this.#pump();
  }

  /** A stage, or the drafter, has rows of the first `held` tokens only: begins again with what it has. */
  fallBack(generation: number, held: number): FlowEffect[] {
    if (generation !== this.#generation || held >= this.#reused) return [];
    // The drafter may notice after the first commit.
    this.#stats.cachedTokens = Math.min(this.#stats.cachedTokens, held);
    return this.replay(held);
  }

  gap(generation: number): FlowEffect[] {
    return generation === this.#generation ? this.replay() : [];
  }

  commit(commit: FlowCommit): FlowEffect[] {
    if (commit.generation !== this.#generation || this.#ended) return [];
    this.#verify(commit.segment);
    const known = this.#journal.length - commit.position;
    if (known < 0) return this.replay();
    if (known >= commit.tokens.length) return this.#pump();
    const fresh = commit.tokens.slice(known);
    if (this.#stats.commits++ === 0) {
      this.#stats.cachedTokens = Math.min(this.#reused, this.#options.prompt.length);
    }
    for (const token of fresh) {
      const position = this.#journal.push(token) - 1;
      if (endsAt(this.#options.rule, token, position)) return this.#end(token);
    }
    this.#moveRoot(commit);
    return this.#pump();
  }

  candidates(found: FlowCandidates): FlowEffect[] {
    if (found.generation !== this.#generation || this.#tree === undefined) return [];
    this.#lateExpansions = 0;
    this.#tree.graft({ id: found.base, position: found.position }, found, this.#pipeline.policy.rescore);
    if (found.base === this.#drafting && !found.more) this.#drafting = undefined;
    return this.#pump();
  }

  /** The time of an earlier `wake` effect has come. */
  wake(): FlowEffect[] {
    return this.#pump();
  }

  /** The drafter has not answered the expansion of `base` in time: the flow goes on without it. */
  draftLate(base: NodeId): FlowEffect[] {
    if (base !== this.#drafting) return [];
    this.#drafting = undefined;
    this.#lateExpansions++;
    return this.#pump();
  }

  #begin(): FlowEffect[] {
    const tokens = [...this.#journal];
    return [{ type: "begin", generation: this.#generation, tokens, reused: this.#reused }];
  }

  #verify(segment: number): void {
    this.#verified = Math.max(this.#verified, segment);
    // Its credit may have been lost; and a pipeline of one stage gives none.
    this.#firstStage.finished(segment, this.#options.now(), this.#pipeline.stageCount === 1);
  }

  #end(token: TokenId): FlowEffect[] {
    this.#ended = true;
    const reason = this.#options.rule.stopTokens.includes(token) ? "stop" : "length";
    return [{ type: "end", reason }];
  }

  #moveRoot(walk: Walk): void {
    for (const id of walk.nodes) if (this.#draftIds.delete(id)) this.#stats.acceptedTokens++;
    this.#drafting = undefined;
    if (this.#tree === undefined) {
      const root = {
        parent: walk.nodes.at(-1) ?? NO_NODE,
        token: this.#journal.at(-1)!,
        position: this.#journal.length - 1,
      };
      this.#tree = new DraftTree(root, this.#nextId);
      return;
    }
    this.#pipeline.policy.verified?.(this.#tree, walk);
    const hit = this.#tree.advance(walk);
    if (!this.#tree.root.sent) this.#stats.misses++;
    for (const id of this.#draftIds) if (this.#tree.get(id) === undefined) this.#draftIds.delete(id);
    this.#pipeline.policy.rootMoved(hit);
  }

  #pump(): FlowEffect[] {
    const effects: FlowEffect[] = [];
    if (this.#ended) return effects;
    while (this.#prefilled < this.#journal.length && this.#tree === undefined && mayPublish(this.#view())) {
      effects.push(this.#sendChunk());
    }
    let wakeAtMs: number | undefined;
    while (this.#tree !== undefined) {
      const plan = this.#pipeline.policy.plan({ ...this.#view(), tree: this.#tree });
      if (plan.expand !== undefined) effects.push(this.#expand(this.#tree, plan.expand));
      else if (plan.segment.length === 0) {
        wakeAtMs = plan.wakeAtMs;
        break;
      }
      if (plan.segment.length > 0) {
        for (const node of plan.segment) {
          if (node !== this.#tree.root) this.#draftIds.add(node.id);
        }
        this.#stats.draftTokens += plan.segment.filter((node) => node !== this.#tree?.root).length;
        this.#stats.treeSegments++;
        this.#stats.treeNodes += plan.segment.length;
        effects.push(this.#send(this.#tree.take(plan.segment), false));
      }
    }
    const dueAtMs = this.#firstStage.view(this.#options.now()).dueAtMs;
    const atMs = Math.min(wakeAtMs ?? Number.POSITIVE_INFINITY, dueAtMs ?? Number.POSITIVE_INFINITY);
    if (Number.isFinite(atMs)) effects.push({ type: "wake", atMs });
    return effects;
  }

  #view(): Omit<PolicyView, "tree"> {
    const { now, costs } = this.#options;
    const { stageCount, hasDrafter } = this.#pipeline;
    const nowMs = now();
    return {
      nowMs,
      inFlight: this.#sent - this.#verified,
      stageCount,
      firstStage: this.#firstStage.view(nowMs),
      costs: costs(),
      canDraft: hasDrafter && this.#lateExpansions < LATE_EXPANSIONS_MAX,
      drafting: this.#drafting !== undefined,
    };
  }

  #expand(tree: DraftTree, size: DraftSize): FlowEffect {
    const { id, position, token } = tree.root;
    this.#drafting = id;
    return { type: "expand", generation: this.#generation, base: id, position, path: [token], size };
  }

  #sendChunk(): FlowEffect {
    const { chunkNodes, costs } = this.#options;
    const from = this.#prefilled;
    const length = chunkLength(this.#journal.length - from, chunkNodes, costs());
    const tokens = this.#journal.slice(from, from + length);
    const ids = Uint32Array.from(tokens, () => this.#nextId++);
    const nodes = {
      ids,
      parents: ids.map((id, index) => (from + index === this.#reused ? NO_NODE : id - 1)),
      tokens: Uint32Array.from(tokens),
      positions: ids.map((_, index) => from + index),
    };
    this.#prefilled += tokens.length;
    return this.#send(nodes, true);
  }

  #send(nodes: SegmentNodes, committed: boolean): FlowEffect {
    this.#stats.segments++;
    const sequence = ++this.#sent;
    const { now, costs } = this.#options;
    this.#firstStage.sent(sequence, nodes.ids.length, now(), costs());
    const certain = this.#journal.length;
    return { type: "segment", generation: this.#generation, sequence, committed, certain, nodes };
  }
}

export const toTokens = (values: ArrayLike<number>): TokenId[] => Array.from(values, tokenId);
export const toNodes = (values: ArrayLike<number>): NodeId[] => Array.from(values, nodeId);
