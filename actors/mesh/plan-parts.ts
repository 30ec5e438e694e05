import type { PipelineTimes } from "./demand.ts";
import type { LayerPin } from "./records.ts";

/** A host as the planner sees it: it may run any number of stages up to `slots`. */
export interface PlanHost {
  readonly name: string;
  readonly slots: number;
  /** Of one layer, for a segment of the usual size. */
  readonly layerMs: number;
  /**
   * What a hop to this host and on costs. It counts once, also when the host runs several stages: how many
   * it has was said by a person or found by trial, and is not weighed again.
   */
  readonly delayMs: number;
  /** For weights, of each stage. */
  readonly bytesMax: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface PlanModel {
  readonly layers: number;
  /** Work of the final norm and LM head, in layers. */
  readonly headLayers: number;
  readonly layerBytes: number;
  readonly embeddingBytes: number;
  readonly headBytes: number;
}

export interface LayerRange {
  /** Index of the host. */
  readonly host: number;
  readonly firstLayer: number;
  readonly endLayer: number;
}

/** What a stage is busy for with a segment. */
export function stageMs(model: PlanModel, host: PlanHost, firstLayer: number, endLayer: number): number {
  const head = endLayer === model.layers ? model.headLayers : 0;
  return (endLayer - firstLayer + head) * host.layerMs;
}

/** @throws RangeError for ranges of no host */
export function pipelineTimes(
  model: PlanModel,
  hosts: readonly PlanHost[],
  ranges: readonly LayerRange[],
): PipelineTimes {
  let [slotMs, loopMs] = [0, 0];
  const used = new Set<PlanHost>();
  for (const { host: index, firstLayer, endLayer } of ranges) {
    const host = hosts[index];
    if (host === undefined) throw new RangeError(`there is no host ${index}`);
    const ownMs = stageMs(model, host, firstLayer, endLayer);
    slotMs = Math.max(slotMs, ownMs);
    loopMs += ownMs + (used.has(host) ? 0 : host.delayMs);
    used.add(host);
  }
  return { slotMs, loopMs };
}

/** Whether a stage of the host may hold the range: its memory, the pins, and a bound on its time. */
export function fits(
  { model, pins, boundMs }: { model: PlanModel; pins: readonly LayerPin[]; boundMs: number },
  host: PlanHost,
  firstLayer: number,
  endLayer: number,
): boolean {
  const embedding = firstLayer === 0 ? model.embeddingBytes : 0;
  const head = endLayer === model.layers ? model.headBytes : 0;
  if ((endLayer - firstLayer) * model.layerBytes + embedding + head > host.bytesMax) return false;
  if (stageMs(model, host, firstLayer, endLayer) > boundMs) return false;
  return pins.every((pin) => {
    const touched = Math.max(pin.firstLayer, firstLayer) < Math.min(pin.endLayer, endLayer);
    return !touched || host.labels[pin.label] === pin.value;
  });
}
