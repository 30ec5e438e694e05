import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import type { CostTable } from "../models/stage-engine.ts";
import { UsageError } from "./usage-error.ts";

const FOLDER = join(import.meta.dir, "../bench/devices");

const schema = v.object({
  name: v.string(),
  description: v.optional(v.string()),
  /** Layers of that stage; a stage of fewer takes less. Absent: every stage takes as long, whatever it has. */
  layers: v.optional(v.pipe(v.number(), v.gtValue(0))),
  /** Milliseconds of one stage for a segment of so many nodes. */
  costs: v.pipe(
    v.array(
      v.object({
        nodes: v.pipe(v.number(), v.integer(), v.minValue(1)),
        ms: v.pipe(v.number(), v.gtValue(0)),
      }),
    ),
    v.minLength(1),
    v.check(
      (costs) => costs.every(({ nodes }, i) => i === 0 || nodes > (costs[i - 1]?.nodes ?? 0)),
      "node counts must increase",
    ),
  ),
});

export interface DeviceModel {
  readonly name: string;
  readonly costs: CostTable;
  readonly layers?: number | undefined;
}

/** What a stage of these layers takes on the device; the LM head counts as `headLayers`. */
export function scaledCosts(
  device: DeviceModel,
  stage: { readonly firstLayer: number; readonly endLayer: number; readonly layerCount: number },
  headLayers: number,
): CostTable {
  if (device.layers === undefined) return device.costs;
  const head = stage.endLayer === stage.layerCount ? headLayers : 0;
  const factor = (stage.endLayer - stage.firstLayer + head) / device.layers;
  return device.costs.map(({ nodes, ms }) => ({ nodes, ms: ms * factor }));
}

/** A device by the name of a model that comes along, or by the path of a JSON file of the same form. */
export async function readDeviceModel(wanted: string): Promise<DeviceModel> {
  const path = wanted.endsWith(".json") ? wanted : join(FOLDER, `${wanted}.json`);
  const file = Bun.file(path);
  if (!(await file.exists())) {
    const known = readdirSync(FOLDER)
      .map((name) => name.replace(/\.json$/, ""))
      .sort();
    throw new UsageError(
      `option '--device <name|file>' is '${wanted}'; it must be one of ${known.join(", ")}, or a .json file.`,
    );
  }
  try {
    return v.parse(schema, await file.json());
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`${path} is no device model ({"name", "costs": [{"nodes", "ms"}, …]}): ${why}`);
  }
}
