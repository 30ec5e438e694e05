import type { PipelineCosts } from "../costs.ts";
import type { DraftTree, TreeNode } from "../draft-tree.ts";
import type { NodeId } from "../ids.ts";
import type { Walk } from "../segment.ts";
import { Calibration } from "./calibration.ts";
import { DraftWait } from "./draft-wait.ts";
import {
  type DraftSize,
  NOTHING,
  type Plan,
  type Policy,
  type PolicyDefinition,
  type PolicyView,
  windowOf,
} from "./policy.ts";

const PARAMETERS = {
  /**
   * Milliseconds that a segment must be expected to save for each millisecond of a stage's time; 0: 0.25, or
   * 1 where stages take turns on the same cores, so that what one computes for nothing is taken from another.
   */
  gain: 0,
  /** Nodes whose path is less likely are neither sent nor deepened. */
  least: 0.005,
  /** Greatest segment. */
  segment: 32,
  /** Candidates a node, and nodes that a drafter pass deepens. */
  topK: 10,
  batch: 4,
  /** Levels and nodes of a drafted tree. */
  depth: 8,
  total: 64,
  /** 1: probabilities are corrected by what came of earlier ones; 0: the drafter's word counts. */
  calibrate: 1,
  /** 1: the root waits for its children where that is expected to pay; 0: it never does. */
  hold: 1,
  /** At temperature > 0: 1 ranks by the noise that the target will add, too; 0 does not. */
  coupled: 1,
};
type Parameters = typeof PARAMETERS;

const OWN_CORES_GAIN = 0.25;
const SHARED_CORES_GAIN = 1;

export const fullflow: PolicyDefinition = {
  name: "fullflow",
  summary: "best-first nodes in segments sized by measured cost, sent just in time, never flushed",
  parameters: PARAMETERS,
  limits: {
    segment: [1, 64],
    topK: [1, 64],
    batch: [1, 64],
    depth: [0, 64],
    total: [1, 1024],
    calibrate: [0, 1],
    hold: [0, 1],
    coupled: [0, 1],
  },
  create: (parameters, { sharesCores = false }) => {
    const all = { ...PARAMETERS, ...parameters };
    return new Fullflow({ ...all, gain: all.gain || (sharesCores ? SHARED_CORES_GAIN : OWN_CORES_GAIN) });
  },
};

/** A segment should be at the first stage this much before it is free: timers and links jitter. */
const GUARD_MS = 0.5;

/** What the drafter says of a node. */
interface Expectation {
  /** Levels below the root. */
  readonly depth: number;
  /** Probability, given its parent. */
  readonly confidence: number;
}

interface Ranked extends Expectation {
  readonly node: TreeNode;
  /** Probability that the target's path comes by here, corrected. */
  readonly probability: number;
  /** Milliseconds that the answer is expected to gain when the node leaves now, and not at all. */
  readonly worthMs: number;
}

/**
 * Nothing has turns (algorithm part B): whenever the first stage is about to be free, those unsent nodes leave
 * that save most time for the time that they take. A node that is in flight when its parent is verified saves
 * a round trip, less the time by which it follows its parent too late. A miss flushes nothing: the corrected
 * root is simply the node that is worth most.
 */
class Fullflow implements Policy {
  readonly name = "fullflow";
  readonly rescore = true;
  readonly prunes = true;
  readonly #parameters: Parameters;
  readonly #size: DraftSize;
  readonly #calibration = new Calibration();
  readonly #wait = new DraftWait();
  /** Of nodes sent and not decided: what was expected of them, and when they left. */
  readonly #sent = new Map<NodeId, Expectation & { readonly atMs: number }>();
  #wantsDraft = true;

  constructor(parameters: Parameters) {
    const { topK, batch, depth, total, least, coupled } = parameters;
    this.#parameters = parameters;
    this.#size = {
      growth: "best",
      topK,
      batch,
      depth,
      total,
      minProbability: least,
      coupled: coupled === 1,
    };
  }

  verified(tree: DraftTree, walk: Walk): void {
    for (const [step, id] of walk.nodes.entries()) {
      for (const child of tree.get(id)?.children.values() ?? []) {
        const expected = this.#sent.get(child.id);
        if (expected === undefined) continue;
        this.#calibration.observe(expected.depth, expected.confidence, child.token === walk.tokens[step]);
      }
      this.#sent.delete(id);
    }
  }

  rootMoved(hit: boolean): void {
    this.#wantsDraft = true;
    this.#wait.rootMoved(hit);
    if (!hit) this.#sent.clear();
  }

  plan(view: PolicyView): Plan {
    if (this.#wantsDraft && view.canDraft) {
      this.#wantsDraft = false;
      this.#wait.asked(view.nowMs);
      return { segment: [], expand: this.#size };
    }
    if (view.tree.root.children.size > 0) this.#wait.came(view.nowMs);
    if (view.inFlight >= windowOf(view)) return NOTHING;
    const leaveAtMs = view.firstStage.freeAtMs - view.firstStage.linkMs - GUARD_MS;
    if (leaveAtMs > view.nowMs) return { segment: [], wakeAtMs: leaveAtMs };
    const holdUntilMs = this.#parameters.hold === 1 ? this.#wait.holdUntilMs(view) : undefined;
    if (holdUntilMs !== undefined) return { segment: [], wakeAtMs: holdUntilMs };
    const segment = this.#worthiest(this.#queue(view), view.costs);
    for (const { node, depth, confidence } of segment) {
      this.#sent.set(node.id, { depth, confidence, atMs: view.nowMs });
    }
    return { segment: segment.map(({ node }) => node) };
  }

  /** Unsent nodes, those worth most first, but parents before their children. */
  #queue({ tree, nowMs, costs, stageCount, firstStage }: PolicyView): Ranked[] {
    const roundTripMs = costs.totalMs(1) + (stageCount + 1) * firstStage.linkMs;
    const slotMs = costs.slowestMs(1);
    const unsent = new Map<NodeId, Ranked>();
    const visit = (node: TreeNode, confidence: number, above: number, dueMs: number) => {
      const depth = node.position - tree.root.position;
      const probability = above * (depth === 0 ? 1 : this.#corrected(depth, confidence));
      if (probability < this.#parameters.least) return;
      const worthMs = probability * Math.max(0, roundTripMs - Math.max(0, nowMs - dueMs));
      if (!node.sent) unsent.set(node.id, { node, depth, confidence, probability, worthMs });
      // A child is in time when it follows in the next segment.
      const childDueMs = (this.#sent.get(node.id)?.atMs ?? nowMs) + slotMs;
      for (const child of node.children.values()) {
        visit(child, Math.exp(child.score - node.score), probability, childDueMs);
      }
    };
    visit(tree.root, 1, 1, nowMs);
    return parentsFirst(unsent);
  }

  #corrected(depth: number, confidence: number): number {
    return this.#parameters.calibrate === 1 ? this.#calibration.corrected(depth, confidence) : confidence;
  }

  /**
   * The first n of the queue that save most for each millisecond of the slowest stage, less what all of them
   * lose by passing every stage in company; none when that is too little.
   */
  #worthiest(queue: readonly Ranked[], costs: PipelineCosts): readonly Ranked[] {
    const { segment, gain } = this.#parameters;
    let best = { length: 0, value: gain };
    let worthMs = 0;
    let mass = 0;
    for (const [index, ranked] of queue.slice(0, segment).entries()) {
      worthMs += ranked.worthMs;
      mass += ranked.probability;
      const lostMs = mass * (costs.totalMs(index + 1) - costs.totalMs(1));
      const value = (worthMs - lostMs) / costs.slowestMs(index + 1);
      if (value > best.value) best = { length: index + 1, value };
    }
    // Certain work is never too little.
    const first = queue[0];
    if (best.length === 0 && first?.depth === 0) return [first];
    return queue.slice(0, best.length);
  }
}

/** By worth; a node whose parent waits as well follows that parent. */
function parentsFirst(unsent: ReadonlyMap<NodeId, Ranked>): Ranked[] {
  const byWorth = [...unsent.values()].sort(
    (a, b) => b.worthMs - a.worthMs || a.node.position - b.node.position || a.node.order - b.node.order,
  );
  const ordered = new Set<Ranked>();
  const add = (ranked: Ranked) => {
    const parent = unsent.get(ranked.node.parent);
    if (parent !== undefined && !ordered.has(parent)) add(parent);
    ordered.add(ranked);
  };
  for (const ranked of byWorth) add(ranked);
  return [...ordered];
}
