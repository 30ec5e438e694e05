import { join } from "node:path";
import { floatTensor, int64Tensor, OrtSession } from "../ort-session.ts";
import { Rotary } from "../rotary.ts";
import { type CompiledHead, FUSION_GRAPH, LAYERS_GRAPH, readCompiledHead } from "./compiled-head.ts";
import type { HeadCache, HeadModel, HeadOutputs, HeadPass } from "./head-model.ts";

/** A compiled draft head, run by onnxruntime in the calling thread. */
export class OrtHeadModel implements HeadModel {
  readonly taps: readonly number[];
  readonly hidden: number;
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: Int32Array;
  readonly #fusion: OrtSession;
  readonly #layers: OrtSession;
  readonly #rotary: Rotary;
  readonly #fetches: readonly string[];

  private constructor({ head, vocabulary }: CompiledHead, fusion: OrtSession, layers: OrtSession) {
    this.taps = head.taps;
    this.hidden = head.target.hidden;
    this.layers = head.layers;
    this.#fetches = ["drafted", "log_probs", ...kvNames(head.layers)];
    this.kvHeads = head.kvHeads;
    this.headDim = head.headDim;
    this.vocabulary = Int32Array.from(vocabulary);
    this.#fusion = fusion;
    this.#layers = layers;
    this.#rotary = new Rotary({ headDim: head.headDim, base: head.ropeBase });
  }

  /** `dir`: a folder that `compileDraftHead` gave. `threads`: inside one operator. */
  static async open(dir: string, threads: number): Promise<OrtHeadModel> {
    const compiled = await readCompiledHead(dir);
    const fusion = await OrtSession.open(join(dir, FUSION_GRAPH), { threads });
    try {
      return new OrtHeadModel(compiled, fusion, await OrtSession.open(join(dir, LAYERS_GRAPH), { threads }));
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
    const past = cache.layers.flatMap(({ keys, values }, layer) => [
      [`past_k_${layer}`, floatTensor(keys, cacheDims)] as const,
      [`past_v_${layer}`, floatTensor(values, cacheDims)] as const,
    ]);
    const outputs = await this.#layers.run(
      {
        features: floatTensor(pass.features, [rows, hidden]),
        tokens: int64Tensor(pass.tokens),
        cos: floatTensor(cos, [rows, headDim / 2]),
        sin: floatTensor(sin, [rows, headDim / 2]),
        past_mask: floatTensor(pass.pastMask, [rows, cache.capacity]),
        new_mask: floatTensor(pass.newMask, [rows, rows]),
        ...Object.fromEntries(past),
        wanted: int64Tensor(pass.wanted),
      },
      this.#fetches,
    );
    return {
      drafted: outputs.drafted!,
      keysAndValues: kvNames(this.layers).map((name) => outputs[name]!),
      logProbs: outputs.log_probs!,
    };
  }

  async close(): Promise<void> {
    await this.#fusion.close();
    await this.#layers.close();
  }
}

const kvNames = (layers: number): string[] => Array.from({ length: layers }, (_, layer) => `kv_new_${layer}`);
