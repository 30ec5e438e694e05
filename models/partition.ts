/** What is to be split, in units of one decoder layer's work. */
export interface PartitionRequest {
  readonly layers: number;
  readonly stageCount: number;
  /** Work of the final norm and LM head, which the last stage does besides its layers. */
  readonly headLayerEquivalents: number;
}

/** Thrown for a number of stages that the model can't be split into. */
export class PartitionError extends Error {
  override readonly name = "PartitionError";
}

/**
 * Splits the layers so that the slowest stage is as fast as can be: stage k runs layers
 * [bounds[k], bounds[k + 1]). Every stage has at least one layer; of equally good splits the most even.
 * @throws {PartitionError} unless there are 1 to `layers` stages.
 */
export function partitionLayers(request: PartitionRequest): number[] {
  const { layers, stageCount, headLayerEquivalents } = request;
  if (!Number.isInteger(stageCount) || stageCount < 1 || stageCount > layers) {
    throw new PartitionError(
      `a model of ${layers} layers can be split into 1 to ${layers} stages, not ${stageCount}`,
    );
  }
  if (stageCount === 1) return [0, layers];
  const others = stageCount - 1;
  // One layer more at the last stage is worth it while its work stays below that of the fullest other one.
  let last = 1;
  for (let candidate = 2; candidate <= layers - others; candidate++) {
    const slowestOther = Math.ceil((layers - candidate + 1) / others);
    if (candidate + headLayerEquivalents > slowestOther) break;
    last = candidate;
  }
  const shared = layers - last;
  const bounds = Array.from({ length: stageCount }, (_, k) => Math.ceil((k * shared) / others));
  return [...bounds, layers];
}
