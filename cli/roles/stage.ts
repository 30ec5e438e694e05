import { systemClock } from "../../actors/runtime/clock.ts";
import type { Log } from "../../actors/runtime/log.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { stageActor } from "../../actors/stage.ts";
import { StageReports } from "../../actors/stage-reports.ts";
import { epoch } from "../../decoding/ids.ts";
import { measureCosts } from "../../models/cost-table.ts";
import { LiveCosts } from "../../models/live-costs.ts";
import { loadModelText } from "../../models/model-text.ts";
import { Pace, type PaceFit } from "../../models/pace.ts";
import type { CostTable } from "../../models/stage-engine.ts";
import { readManifest } from "../../models/stage-manifest.ts";
import { isFirstStage, isLastStage } from "../../models/stage-spec.ts";
import { startStageEngine } from "../../models/worker-stage-engine.ts";
import { shapeLink } from "../../transport/shaped-link.ts";
import { ANY, stageSubject } from "../../transport/subjects.ts";
import type { Transport } from "../../transport/transport.ts";
import type { RoleStart, StagePayload, StageRole } from "../role.ts";
import { joinMesh, processMetadata } from "./membership.ts";

/** Segment sizes that a stage measures itself with at its start. */
const COST_SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

export const startStage: RoleStart<StageRole> = async (role, context) => {
  const { stage: spec, folder, threads, kvBudgetBytes, mesh } = role;
  const clock = systemClock;
  const { hidden } = await readManifest(folder);
  const engine = await startStageEngine({ dir: folder, threads, kvBudgetBytes });
  engine.ended.then((error) => error && context.fail(error), context.fail);
  const measured = await measureCosts(engine, {
    sizes: COST_SIZES,
    ...(isFirstStage(spec) ? {} : { hidden }),
    drawsTokens: isLastStage(spec),
  });
  const unshaped = await joinMesh(role, `stage-${spec.index}`, context.log);
  const transport = behindLink(unshaped, role, context.log);
  const textOf = isLastStage(spec) ? { textOf: await loadTextOf(role.modelPath) } : {};
  const pace = role.pace === undefined ? undefined : new Pace(role.pace, clock);
  const reports = new StageReports({
    mesh,
    epoch: role.epoch,
    stage: spec.index,
    transport,
    clock,
    costs: pace?.costs ?? new LiveCosts(measured),
    work: { transport: unshaped, timeOriginMs: performance.timeOrigin, always: role.reportWork },
  });
  const metadata = () => ({
    ...processMetadata(),
    numerics: spec.numerics,
    layers: `${spec.firstLayer}-${spec.endLayer - 1}`,
    costs_ms: formatCosts(reports.costs),
    measured_costs_ms: formatCosts(measured),
    ...(pace && formatFit(pace.fit)),
  });
  const actor = await spawn(
    stageActor({
      mesh,
      epoch: epoch(role.epoch),
      spec,
      hidden,
      engine,
      dtype: "f32",
      onWork: (work, watched) => reports.worked(work, watched),
      ...(pace && { pace }),
      ...textOf,
    }),
    { transport, clock, log: context.log, metadata },
  );
  actor.ended.then((error) => error && context.fail(error), context.fail);
  return {
    payload: { costs: reports.costs } satisfies StagePayload,
    async stop() {
      await actor.stop();
      await transport.close();
      await engine.close();
    },
  };
};

/** The stage's own way into the mesh; the first stage's also carries what the tree manager sends to it. */
function behindLink(transport: Transport, { link, mesh, epoch, stage }: StageRole, log: Log): Transport {
  if (link === undefined) return transport;
  const inbound = isFirstStage(stage) ? { inbound: stageSubject(mesh, epoch, stage.index, ANY) } : {};
  return shapeLink(transport, { link, clock: systemClock, log, ...inbound });
}

/** How often the real work did not hide inside the pace; see bench/pace-warnings.ts. */
const formatFit = ({ segments, tight, late }: PaceFit): Record<string, string> => ({
  paced_segments: String(segments),
  paced_tight: String(tight),
  paced_late: String(late),
});

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
