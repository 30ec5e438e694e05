import { NO_NODE, type NodeId, type TokenId } from "../decoding/ids.ts";
import { positionLogprobs } from "../decoding/log-probs.ts";
import type { PathCounts } from "../decoding/path-tokens.ts";
import { Sampler } from "../decoding/sampling.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";
import { EMPTY_NODES, type SegmentNodes } from "../decoding/segment.ts";
import { maskLogits } from "../decoding/token-mask.ts";
import { KvBudgetError } from "./kv-cache.ts";
import { SerialQueue } from "./serial-queue.ts";
import type { DrawnToken, DrawWishes, StageEngine, StageResult, StageRun, TapRows } from "./stage-engine.ts";
import type { RowCache, StageMath } from "./stage-math.ts";
import { StageSession } from "./stage-session.ts";

/** Made anew each time: whoever gets a result may move its arrays to another thread. */
const nothing = (): StageResult => ({
  nodes: EMPTY_NODES,
  hidden: new Float32Array(0),
  taps: [],
  computeMs: 0,
});

/** A stage in the calling thread. */
export class LocalStageEngine<Cache extends RowCache> implements StageEngine {
  readonly #math: StageMath<Cache>;
  readonly #kvBudgetBytes: number;
  readonly #sessions = new Map<string, StageSession<Cache>>();
  readonly #queue = new SerialQueue();
  readonly #sampler = new Sampler();

  constructor(math: StageMath<Cache>, kvBudgetBytes: number) {
    this.#math = math;
    this.#kvBudgetBytes = kvBudgetBytes;
  }

  /** @throws {KvBudgetError} before anything changes, when the run's rows don't fit into the budget. */
  run(run: StageRun): Promise<StageResult> {
    return this.#queue.run(() => this.#run(run));
  }

  commit(session: string, accepted: readonly NodeId[], next: TokenId): Promise<void> {
    return this.#queue.run(() => this.#sessions.get(session)?.commit(accepted, next));
  }

  nextToken(
    hiddenRow: Float32Array,
    sampling: SamplingParams,
    position: number,
    counts: PathCounts,
    { topLogprobs, mask }: DrawWishes = {},
  ): Promise<DrawnToken> {
    return this.#queue.run(async () => {
      const logits = await this.#math.logits(hiddenRow);
      const allowed = mask === undefined ? logits : maskLogits(logits, mask);
      const token = this.#sampler.sample(allowed, sampling, position, counts);
      return topLogprobs === undefined
        ? { token }
        : { token, logprobs: positionLogprobs(logits, token, topLogprobs) };
    });
  }

  release(session: string): Promise<void> {
    return this.#queue.run(() => {
      this.#sessions.delete(session);
    });
  }

  usage(): Promise<{ sessions: number; liveRows: number; allocatedBytes: number }> {
    return this.#queue.run(() => {
      const sessions = [...this.#sessions.values()];
      return {
        sessions: sessions.length,
        liveRows: sessions.reduce((sum, { liveRows }) => sum + liveRows, 0),
        allocatedBytes: sessions.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0),
      };
    });
  }

  close(): Promise<void> {
    return this.#queue.run(() => {
      this.#sessions.clear();
      return this.#math.close();
    });
  }

  async #run({ session: name, nodes, hidden, committed }: StageRun): Promise<StageResult> {
    const started = performance.now();
    const session = this.#sessionFor(name, nodes, committed);
    if (!session || nodes.ids.length === 0) return nothing();
    this.#refuseWrongWidth(nodes.ids.length, hidden);
    this.#refuseOverBudget(session, nodes.ids.length);
    const admission = session.admit(nodes, committed);
    if (admission.nodes.ids.length === 0) return nothing();
    this.#sessions.set(name, session);
    try {
      const liveHidden = hidden && selectRows(hidden, nodes, admission.nodes);
      const outputs = await session.forward(admission, liveHidden);
      const taps = tapRows(this.#math.taps, admission.nodes, outputs.taps);
      return { nodes: admission.nodes, hidden: outputs.hidden, taps, computeMs: performance.now() - started };
    } catch (error) {
      // Its rows are taken but were not written: the session can only be replayed from the start.
      this.#sessions.delete(name);
      throw error;
    }
  }

  /** A session begins with the first token of its prompt; late segments of one that ended find nothing. */
  #sessionFor(name: string, nodes: SegmentNodes, committed: boolean): StageSession<Cache> | undefined {
    const known = this.#sessions.get(name);
    if (known) return known;
    return committed && nodes.parents[0] === NO_NODE ? new StageSession(this.#math) : undefined;
  }

  #refuseWrongWidth(nodes: number, hidden: Float32Array | undefined): void {
    const expected = nodes * this.#math.hidden;
    if (hidden === undefined || hidden.length === expected) return;
    throw new RangeError(`${nodes} nodes need ${expected} hidden elements, got ${hidden.length}`);
  }

  #refuseOverBudget(session: StageSession<Cache>, nodes: number): void {
    let neededBytes = session.bytesWith(nodes) - session.allocatedBytes;
    if (neededBytes === 0) return;
    for (const { allocatedBytes } of this.#sessions.values()) neededBytes += allocatedBytes;
    if (neededBytes > this.#kvBudgetBytes) throw new KvBudgetError(neededBytes, this.#kvBudgetBytes);
  }
}

/** The rows [kept, width] of `kept`, a subset of `nodes` in the same order. */
function selectRows(rows: Float32Array, nodes: SegmentNodes, kept: SegmentNodes): Float32Array {
  if (kept.ids.length === nodes.ids.length) return rows;
  const width = rows.length / nodes.ids.length;
  const selected = new Float32Array(kept.ids.length * width);
  for (let i = 0, from = 0; i < kept.ids.length; i++, from++) {
    while (nodes.ids[from] !== kept.ids[i]) from++;
    selected.set(rows.subarray(from * width, (from + 1) * width), i * width);
  }
  return selected;
}

const tapRows = (layers: readonly number[], nodes: SegmentNodes, rows: readonly Float32Array[]): TapRows[] =>
  layers.map((layer, tap) => ({ layer, positions: nodes.positions, rows: rows[tap]! }));
