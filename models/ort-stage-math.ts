import { join } from "node:path";
import { NO_NODE } from "../decoding/ids.ts";
import type { Admission } from "../decoding/live-rows.ts";
import { KvCache, type KvShape, kvBytesPerRow } from "./kv-cache.ts";
import { type Feeds, floatTensor, int64Tensor, OrtSession, type SessionOptions } from "./ort-session.ts";
import { Rotary } from "./rotary.ts";
import { paddedRows, stableRowMultiple } from "./row-multiple.ts";
import { readManifest, type StageManifest } from "./stage-manifest.ts";
import type { StageForward, StageMath, StageOutputs } from "./stage-math.ts";
import { StageSession } from "./stage-session.ts";

const PROBE_TOKENS_APART = 17;

export interface StageMathOptions extends SessionOptions {
  /** Folder of a compiled stage. */
  readonly dir: string;
}

/** A compiled stage, run by onnxruntime in the calling thread. */
export class OrtStageMath implements StageMath<KvCache> {
  readonly bytesPerRow: number;
  readonly #manifest: StageManifest;
  readonly #stage: OrtSession;
  /** Absent at all stages but the last. */
  readonly #head: OrtSession | undefined;
  readonly #rotary: Rotary;
  readonly #shape: KvShape;
  readonly #fetches: readonly string[];
  #rowMultiple = 1;
  /** Tensors over the arrays of each cache, made anew when it has grown. */
  readonly #cacheFeeds = new WeakMap<KvCache, { readonly capacity: number; readonly feeds: Feeds }>();

  private constructor(manifest: StageManifest, stage: OrtSession, head: OrtSession | undefined) {
    const { kvHeads, headDim, firstLayer, endLayer, ropeBase, ropeFactors } = manifest;
    this.#manifest = manifest;
    this.#stage = stage;
    this.#head = head;
    this.#rotary = new Rotary({ headDim, base: ropeBase, ...(ropeFactors ? { factors: ropeFactors } : {}) });
    this.#shape = { layers: endLayer - firstLayer, kvHeads, headDim };
    this.bytesPerRow = kvBytesPerRow(this.#shape);
    this.#fetches = ["hidden", "kv_new", ...manifest.taps.map((layer) => `tap_${layer}`)];
  }

  static async open({ dir, threads }: StageMathOptions): Promise<OrtStageMath> {
    const manifest = await readManifest(dir);
    const stage = await OrtSession.open(join(dir, "graph.onnx"), { threads });
    let head: OrtSession | undefined;
    try {
      if (manifest.last) head = await OrtSession.open(join(dir, "head.onnx"), { threads });
      const math = new OrtStageMath(manifest, stage, head);
      math.#rowMultiple = await stableRowMultiple(manifest.minimumRows, (rows) => math.#probe(rows));
      return math;
    } catch (error) {
      await stage.close();
      await head?.close();
      throw error;
    }
  }

  get taps(): readonly number[] {
    return this.#manifest.taps;
  }

  get hidden(): number {
    return this.#manifest.hidden;
  }

  createCache(): KvCache {
    return new KvCache(this.#shape);
  }

  async forward({ admission, hidden }: StageForward, cache: KvCache): Promise<StageOutputs> {
    const live = admission.nodes.ids.length;
    const rows = paddedRows(live, this.#manifest.minimumRows, this.#rowMultiple);
    const padded = padRows(admission, rows);
    const outputs = await this.#stage.run(
      { ...this.#inputs(padded, hidden), ...this.#feedsOf(cache) },
      this.#fetches,
    );
    cache.write(outputs.kv_new!, padded.rows, admission.rows);
    const elements = live * this.#manifest.hidden;
    return {
      hidden: outputs.hidden!.subarray(0, elements),
      taps: this.taps.map((layer) => outputs[`tap_${layer}`]!.subarray(0, elements)),
    };
  }

  async logits(hiddenRow: Float32Array): Promise<Float32Array> {
    if (!this.#head) throw new Error("only the last stage has an LM head");
    const { hidden, minimumHeadRows, vocab } = this.#manifest;
    if (hiddenRow.length !== hidden) {
      throw new RangeError(`a hidden row has ${hidden} elements, not ${hiddenRow.length}`);
    }
    const rows = extended(hiddenRow, minimumHeadRows * hidden);
    const outputs = await this.#head.run({ hidden: floatTensor(rows, [minimumHeadRows, hidden]) }, [
      "logits",
    ]);
    return outputs.logits!.subarray(0, vocab);
  }

  async close(): Promise<void> {
    await this.#stage.close();
    await this.#head?.close();
  }

  /** The first `rows` rows of a path that is always the same. */
  async #probe(rows: number): Promise<Float32Array> {
    const { first, hidden, vocab } = this.#manifest;
    const session = new StageSession(this);
    const count = (at: (i: number) => number) => Uint32Array.from({ length: rows }, (_, i) => at(i));
    const nodes = {
      ids: count((i) => i),
      parents: count((i) => (i === 0 ? NO_NODE : i - 1)),
      tokens: count((i) => (i * PROBE_TOKENS_APART) % vocab),
      positions: count((i) => i),
    };
    const entering = first
      ? undefined
      : Float32Array.from({ length: rows * hidden }, (_, i) => Math.sin(i * i));
    return (await session.forward(session.admit(nodes, true), entering)).hidden;
  }

  #feedsOf(cache: KvCache): Feeds {
    const known = this.#cacheFeeds.get(cache);
    if (known?.capacity === cache.capacity) return known.feeds;
    const dims = [1, this.#shape.kvHeads, cache.capacity, this.#shape.headDim];
    const feeds = Object.fromEntries([
      ...cache.keys.map((keys, layer) => [`past_k_${layer}`, floatTensor(keys, dims)] as const),
      ...cache.values.map((values, layer) => [`past_v_${layer}`, floatTensor(values, dims)] as const),
    ]);
    this.#cacheFeeds.set(cache, { capacity: cache.capacity, feeds });
    return feeds;
  }

  #inputs(run: PaddedRun, hidden: Float32Array | undefined): Feeds {
    const { first, hidden: width, headDim } = this.#manifest;
    const { rows } = run;
    const { cos, sin } = this.#rotary.rows(run.positions);
    const shared = {
      cos: floatTensor(cos, [rows, headDim / 2]),
      sin: floatTensor(sin, [rows, headDim / 2]),
      past_mask: floatTensor(run.pastMask, [rows, run.pastMask.length / rows]),
      new_mask: floatTensor(run.newMask, [rows, rows]),
    };
    if (first) return { ...shared, tokens: int64Tensor(run.tokens) };
    if (hidden?.length !== run.live * width) {
      throw new RangeError(
        `${run.live} nodes need ${run.live * width} hidden elements, got ${hidden?.length}`,
      );
    }
    return { ...shared, residual: floatTensor(extended(hidden, rows * width), [rows, width]) };
  }
}

interface PaddedRun {
  readonly live: number;
  readonly rows: number;
  readonly tokens: Uint32Array;
  readonly positions: Uint32Array;
  readonly pastMask: Float32Array;
  readonly newMask: Float32Array;
}

/** Adds rows of token 0 that nobody sees and that see nothing masked off, up to `rows` rows. */
function padRows({ nodes, pastMask, newMask }: Admission, rows: number): PaddedRun {
  const live = nodes.ids.length;
  const { tokens, positions } = nodes;
  if (rows === live) return { live, rows, tokens, positions, pastMask, newMask };
  const capacity = pastMask.length / live;
  const square = new Float32Array(rows * rows).fill(PADDING_MASK);
  for (let i = 0; i < live; i++) square.set(newMask.subarray(i * live, (i + 1) * live), i * rows);
  for (let i = live; i < rows; i++) square[i * rows + i] = 0;
  return {
    live,
    rows,
    tokens: extended(tokens, rows),
    positions: extended(positions, rows),
    pastMask: extended(pastMask, rows * capacity),
    newMask: square,
  };
}

const PADDING_MASK = -1e30;

/** The array itself, or a longer copy that ends in zeros. */
function extended<A extends Float32Array | Uint32Array>(array: A, length: number): A {
  if (array.length === length) return array;
  const copy = (array instanceof Float32Array ? new Float32Array(length) : new Uint32Array(length)) as A;
  copy.set(array);
  return copy;
}
