import { join } from "node:path";
import { floatTensor, int64Tensor, OrtSession } from "../ort-session.ts";
import { Rotary } from "../rotary.ts";
import { type CompiledHead, FUSION_GRAPH, LAYER_GRAPH, readCompiledHead } from "./compiled-head.ts";
import type { HeadCache, HeadModel, HeadOutputs, HeadPass } from "./head-model.ts";

const FETCHES = ["drafted", "kv_new", "log_probs"] as const;

/** A compiled draft head, run by onnxruntime in the calling thread. */
export class OrtHeadModel implements HeadModel {
  readonly taps: readonly number[];
  readonly hidden: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: Int32Array;
  readonly #fusion: OrtSession;
  readonly #layer: OrtSession;
  readonly #rotary: Rotary;

  private constructor({ head, vocabulary }: CompiledHead, fusion: OrtSession, layer: OrtSession) {
    this.taps = head.taps;
    this.hidden = head.target.hidden;
    this.kvHeads = head.kvHeads;
    this.headDim = head.headDim;
    this.vocabulary = Int32Array.from(vocabulary);
    this.#fusion = fusion;
    this.#layer = layer;
    this.#rotary = new Rotary({ headDim: head.headDim, base: head.ropeBase });
  }

  /** `dir`: a folder that `compileDraftHead` gave. `threads`: inside one operator. */
  static async open(dir: string, threads: number): Promise<OrtHeadModel> {
    const compiled = await readCompiledHead(dir);
    const fusion = await OrtSession.open(join(dir, FUSION_GRAPH), { threads });
    try {
      return new OrtHeadModel(compiled, fusion, await OrtSession.open(join(dir, LAYER_GRAPH), { threads }));
    } catch (error) {
      await fusion.close();
      throw error;
    }
  }

  async fuse(taps: readonly Float32Array[]): Promise<Float32Array> {
    const entries = taps.map((rows, i) => {
      return [`tap_${i}`, floatTensor(rows, [rows.length / this.hidden, this.hidden])] as const;
    });
    return (await this.#fusion.run(Object.fromEntries(entries), ["features"])).features!;
  }

  async forward(pass: HeadPass, cache: HeadCache): Promise<HeadOutputs> {
    const { hidden, headDim, kvHeads } = this;
    const rows = pass.tokens.length;
    const { cos, sin } = this.#rotary.rows(pass.positions);
    const cacheDims = [1, kvHeads, cache.capacity, headDim];
    const outputs = await this.#layer.run(
      {
        features: floatTensor(pass.features, [rows, hidden]),
        tokens: int64Tensor(pass.tokens),
        cos: floatTensor(cos, [rows, headDim / 2]),
        sin: floatTensor(sin, [rows, headDim / 2]),
        past_mask: floatTensor(pass.pastMask, [rows, cache.capacity]),
        new_mask: floatTensor(pass.newMask, [rows, rows]),
        past_k: floatTensor(cache.keys, cacheDims),
        past_v: floatTensor(cache.values, cacheDims),
        wanted: int64Tensor(pass.wanted),
      },
      FETCHES,
    );
    return {
      drafted: outputs.drafted!,
      keysAndValues: outputs.kv_new!,
      logProbs: outputs.log_probs!,
    };
  }

  async close(): Promise<void> {
    await this.#fusion.close();
    await this.#layer.close();
  }
}
