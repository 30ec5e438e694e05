import { systemClock } from "../../actors/runtime/clock.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { stageActor } from "../../actors/stage.ts";
import { epoch } from "../../decoding/ids.ts";
import { segmentMs } from "../../decoding/policies/fit.ts";
import { measureCosts } from "../../models/cost-table.ts";
import { loadModelText } from "../../models/model-text.ts";
import { paceEngine } from "../../models/paced-stage-engine.ts";
import type { CostTable } from "../../models/stage-engine.ts";
import { readManifest } from "../../models/stage-manifest.ts";
import { isFirstStage, isLastStage } from "../../models/stage-spec.ts";
import { startStageEngine } from "../../models/worker-stage-engine.ts";
import type { RoleStart, StagePayload, StageRole } from "../role.ts";
import { joinMesh, processMetadata } from "./membership.ts";

/** Segment sizes that a stage measures itself with at its start. */
const COST_SIZES = [1, 2, 4, 8, 16, 32];

export const startStage: RoleStart<StageRole> = async (role, context) => {
  const { stage: spec, folder, threads, kvBudgetBytes, pace, mesh } = role;
  const { hidden } = await readManifest(folder);
  const engine = await startStageEngine({ dir: folder, threads, kvBudgetBytes });
  engine.ended.then((error) => error && context.fail(error), context.fail);
  const measured = await measureCosts(engine, {
    sizes: COST_SIZES,
    ...(isFirstStage(spec) ? {} : { hidden }),
  });
  const transport = await joinMesh(role, `stage-${spec.index}`, context.log);
  const textOf = isLastStage(spec) ? { textOf: await loadTextOf(role.modelPath) } : {};
  const payload: StagePayload = { costs: pace ?? measured };
  const metadata = {
    ...processMetadata(),
    numerics: spec.numerics,
    layers: `${spec.firstLayer}-${spec.endLayer - 1}`,
    costs_ms: formatCosts(payload.costs),
    measured_costs_ms: formatCosts(measured),
  };
  const actor = await spawn(
    stageActor({
      mesh,
      epoch: epoch(role.epoch),
      spec,
      hidden,
      engine: pace === undefined ? engine : paceEngine(engine, (nodes) => segmentMs(pace, nodes)),
      dtype: "f32",
      ...textOf,
    }),
    { transport, clock: systemClock, log: context.log, metadata },
  );
  actor.ended.then((error) => error && context.fail(error), context.fail);
  return {
    payload,
    async stop() {
      await actor.stop();
      await transport.close();
      await engine.close();
    },
  };
};

/** "1=2.91 2=3.30": milliseconds by number of nodes. */
const formatCosts = (costs: CostTable): string =>
  costs.map(({ nodes, ms }) => `${nodes}=${ms.toFixed(2)}`).join(" ");

async function loadTextOf(modelPath: string): Promise<(tokens: readonly number[]) => string> {
  const text = await loadModelText(modelPath);
  return (tokens) => {
    const decoder = text.decoder();
    return decoder.push(tokens) + decoder.flush();
  };
}
