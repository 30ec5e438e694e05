import { NO_NODE, type NodeId, type TokenId } from "../decoding/ids.ts";
import { positionLogprobs } from "../decoding/log-probs.ts";
import type { PathCounts } from "../decoding/path-tokens.ts";
import { Sampler } from "../decoding/sampling.ts";
import type { SamplingParams } from "../decoding/sampling-params.ts";
import { EMPTY_NODES, type SegmentNodes } from "../decoding/segment.ts";
import { maskLogits } from "../decoding/token-mask.ts";
import { KvBudgetError } from "./kv-cache.ts";
import { SerialQueue } from "./serial-queue.ts";
import type {
  DrawnToken,
  DrawWishes,
  StageEngine,
  StageResult,
  StageRun,
  StageUsage,
  TapRows,
} from "./stage-engine.ts";
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
  /** Of sessions that are over; the one that was not used for longest comes first. */
  readonly #kept = new Map<string, StageSession<Cache>>();
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

  begin(session: string, prefix: Uint32Array): Promise<number> {
    return this.#queue.run(() => this.#begin(session, prefix));
  }

  keep(session: string): Promise<void> {
    return this.#queue.run(() => this.#keep(session));
  }

  release(session: string): Promise<void> {
    return this.#queue.run(() => {
      this.#sessions.delete(session);
      this.#kept.delete(session);
    });
  }

  usage(): Promise<StageUsage> {
    return this.#queue.run(() => {
      const sessions = [...this.#sessions.values()];
      return {
        sessions: sessions.length,
        liveRows: sessions.reduce((sum, { liveRows }) => sum + liveRows, 0),
        allocatedBytes: bytesOf(this.#sessions),
        keptSessions: this.#kept.size,
        keptBytes: bytesOf(this.#kept),
      };
    });
  }

  close(): Promise<void> {
    return this.#queue.run(() => {
      this.#sessions.clear();
      this.#kept.clear();
      return this.#math.close();
    });
  }

  async #run({ session: name, nodes, hidden, committed }: StageRun): Promise<StageResult> {
    const started = performance.now();
    const session = this.#sessionFor(name, nodes, committed);
    if (!session || nodes.ids.length === 0) return nothing();
    this.#refuseWrongWidth(nodes.ids.length, hidden);
    this.#makeRoom(session.bytesWith(nodes.ids.length) - session.allocatedBytes);
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

  #begin(name: string, prefix: Uint32Array): number {
    if (prefix.length === 0) {
      this.#sessions.delete(name);
      return 0;
    }
    const source = this.#longestBeginning(name, prefix);
    if (source === undefined || source.common < prefix.length) return source?.common ?? 0;
    if (this.#sessions.get(name) === source.session) source.session.truncate(prefix.length);
    else this.#sessions.set(name, this.#takeOver(source, prefix));
    return prefix.length;
  }

  /** Its own rows are the best, then those that were kept last. */
  #longestBeginning(name: string, prefix: Uint32Array): Beginning<Cache> | undefined {
    const own = this.#sessions.get(name);
    const others = [...this.#sessions, ...this.#kept].reverse();
    let best: Beginning<Cache> | undefined;
    for (const [other, session] of own === undefined ? others : [[name, own] as const, ...others]) {
      const common = session.commonWith(prefix);
      if (common > (best?.common ?? 0)) best = { name: other, session, common };
    }
    return best;
  }

  /** Kept rows that are all used are moved; others are copied, where there is room for a copy. */
  #takeOver({ name, session }: Beginning<Cache>, prefix: Uint32Array): StageSession<Cache> {
    const copy = new StageSession(this.#math);
    const copyBytes = copy.bytesWith(prefix.length);
    if (this.#kept.get(name) === session) {
      this.#kept.delete(name);
      const hasMore = session.committed > prefix.length;
      if (!hasMore || !this.#hasRoom(copyBytes + session.allocatedBytes)) {
        session.truncate(prefix.length);
        return session;
      }
      // Put back as the one that was used last.
      this.#kept.set(name, session);
    } else this.#makeRoom(copyBytes);
    copy.copyBeginning(session, prefix);
    return copy;
  }

  #keep(name: string): void {
    const session = this.#sessions.get(name);
    if (session === undefined) return;
    this.#sessions.delete(name);
    session.truncate(session.committed);
    if (session.committed === 0) return;
    for (const [other, kept] of this.#kept) if (kept.isBeginningOf(session)) this.#kept.delete(other);
    if ([...this.#kept.values()].some((kept) => session.isBeginningOf(kept))) return;
    this.#kept.set(name, session);
  }

  /** A session begins with the first token of its prompt; late segments of one that ended find nothing. */
  #sessionFor(name: string, nodes: SegmentNodes, committed: boolean): StageSession<Cache> | undefined {
    const known = this.#sessions.get(name);
    if (known) return known;
    const isFirst = nodes.parents[0] === NO_NODE && nodes.positions[0] === 0;
    return committed && isFirst ? new StageSession(this.#math) : undefined;
  }

  #refuseWrongWidth(nodes: number, hidden: Float32Array | undefined): void {
    const expected = nodes * this.#math.hidden;
    if (hidden === undefined || hidden.length === expected) return;
    throw new RangeError(`${nodes} nodes need ${expected} hidden elements, got ${hidden.length}`);
  }

  /** Lets go of what is kept until there is room. @throws {KvBudgetError} when running sessions leave none. */
  #makeRoom(freshBytes: number): void {
    if (freshBytes === 0 || this.#hasRoom(freshBytes)) return;
    throw new KvBudgetError(bytesOf(this.#sessions) + freshBytes, this.#kvBudgetBytes);
  }

  /** Lets go of what is kept, but only if that makes enough room. */
  #hasRoom(freshBytes: number): boolean {
    let neededBytes = bytesOf(this.#sessions) + freshBytes;
    if (neededBytes > this.#kvBudgetBytes) return false;
    neededBytes += bytesOf(this.#kept);
    for (const [name, { allocatedBytes }] of this.#kept) {
      if (neededBytes <= this.#kvBudgetBytes) break;
      this.#kept.delete(name);
      neededBytes -= allocatedBytes;
    }
    return true;
  }
}

/** A session whose committed path has the first `common` tokens that are looked for. */
interface Beginning<Cache extends RowCache> {
  readonly name: string;
  readonly session: StageSession<Cache>;
  readonly common: number;
}

function bytesOf(sessions: ReadonlyMap<string, { readonly allocatedBytes: number }>): number {
  let bytes = 0;
  for (const { allocatedBytes } of sessions.values()) bytes += allocatedBytes;
  return bytes;
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
