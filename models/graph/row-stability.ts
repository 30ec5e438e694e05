import type { GgufFile } from "../gguf/gguf-file.ts";
import { isLastStage, type StageSpec } from "../stage-spec.ts";
import { blockForm } from "./block-weights.ts";
import { weightTensor } from "./weight-tensor.ts";

/**
 * Whether a run of one row gives the same bits as a longer one without padding. Products with int8
 * activations do; fp32 products of one row take another kernel with another order of summation.
 */
export function singleRowsAreStable(gguf: GgufFile, spec: StageSpec): boolean {
  if (spec.numerics === "precise") return false;
  for (const name of gguf.tensors.keys()) {
    const layer = /^blk\.(\d+)\./.exec(name)?.[1];
    const inStage = layer === undefined ? isLastStage(spec) && isHead(name) : isInside(spec, Number(layer));
    const { type, rows } = weightTensor(gguf, name);
    if (inStage && rows > 1 && !blockForm(type)) return false;
  }
  return true;
}

const isHead = (name: string): boolean => name === "output.weight" || name === "token_embd.weight";
const isInside = (spec: StageSpec, layer: number): boolean =>
  layer >= spec.firstLayer && layer < spec.endLayer;
