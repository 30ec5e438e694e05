import type { StageFacts } from "../../actors/host/unit.ts";
import type { ActorRef } from "../../actors/runtime/actor.ts";
import { systemClock } from "../../actors/runtime/clock.ts";
import type { Log } from "../../actors/runtime/log.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { stageActor } from "../../actors/stage.ts";
import { StageReports } from "../../actors/stage-reports.ts";
import { epoch, type TokenId } from "../../decoding/ids.ts";
import type { TokenMasks } from "../../decoding/token-mask.ts";
import { formatCosts, measureCosts } from "../../models/cost-table.ts";
import { GrammarMasks } from "../../models/grammar/grammar-masks.ts";
import { kvBytesPerRow } from "../../models/kv-cache.ts";
import { LiveCosts } from "../../models/live-costs.ts";
import { loadModelText } from "../../models/model-text.ts";
import { Pace, type PaceFit } from "../../models/pace.ts";
import type { CostTable } from "../../models/stage-engine.ts";
import { readManifest } from "../../models/stage-manifest.ts";
import type { StageSpec } from "../../models/stage-spec.ts";
import { startStageEngine, type WorkerStageEngine } from "../../models/worker-stage-engine.ts";
import { shapeLink } from "../../transport/shaped-link.ts";
import { ANY, stageSubject } from "../../transport/subjects.ts";
import type { Transport } from "../../transport/transport.ts";
import type { RolePlace, RoleStart, StageRole } from "../role.ts";
import { joinMesh, memberMetadata } from "./membership.ts";
import { PlacedActor } from "./placed-actor.ts";

/** Segment sizes that a stage measures itself with at its start. */
const COST_SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];

export const startStage: RoleStart<StageRole> = async (role, context) => {
  const { layers, folder, threads, kvBudgetBytes } = role;
  const clock = systemClock;
  const { hidden, kvHeads, headDim } = await readManifest(folder);
  const rowBytes = kvBytesPerRow({ layers: layers.endLayer - layers.firstLayer, kvHeads, headDim });
  const engine = await startStageEngine({ dir: folder, threads, kvBudgetBytes });
  engine.ended.then((error) => error && context.fail(error), context.fail);
  const isLast = layers.endLayer === layers.layerCount;
  const measure = { sizes: COST_SIZES, ...(layers.firstLayer > 0 && { hidden }), drawsTokens: isLast };
  const measured = role.costs ?? (await measureCosts(engine, measure));
  const transport = await joinMesh(role, `layers-${layers.firstLayer}-${layers.endLayer}`, context.log);
  const textOf = isLast ? { textOf: await loadTextOf(role.modelPath) } : {};
  const masks = isLast ? new GrammarMasks({ modelPath: role.modelPath }) : undefined;
  const pace = role.pace === undefined ? undefined : new Pace(role.pace, clock);
  const costs = pace?.costs ?? new LiveCosts(measured);
  const loaded = { role, engine, hidden, measured, transport, costs, log: context.log };
  const placed = new PlacedActor(context, (place) =>
    startActor({ ...loaded, ...textOf, ...(masks && { masks }), ...(pace && { pace }) }, place),
  );
  if (role.place !== undefined) await placed.enter(role.place);
  return {
    payload: {
      costs: costs instanceof LiveCosts ? costs.table : costs,
      kvTokens: Math.floor(kvBudgetBytes / rowBytes),
      arithmetic: engine.arithmetic,
    } satisfies StageFacts,
    tell: (place) => void placed.enter(place as RolePlace),
    async stop() {
      await placed.stop();
      await masks?.close();
      await transport.close();
      await engine.close();
    },
  };
};

/** What is loaded once and serves all epochs. */
interface LoadedStage {
  readonly role: StageRole;
  readonly engine: WorkerStageEngine;
  readonly hidden: number;
  readonly measured: CostTable;
  readonly transport: Transport;
  readonly costs: CostTable | LiveCosts;
  readonly pace?: Pace;
  readonly masks?: TokenMasks;
  readonly textOf?: (tokens: readonly TokenId[]) => string;
  readonly log: Log;
}

function startActor(loaded: LoadedStage, place: RolePlace): Promise<ActorRef> {
  const { role, engine, hidden, measured, transport: unshaped, costs, pace, textOf, masks, log } = loaded;
  const { mesh } = role;
  const { index, stageCount } = place;
  const clock = systemClock;
  const spec: StageSpec = { ...role.layers, index, stageCount };
  const transport = behindLink(unshaped, role, place, log);
  const reports = new StageReports({
    mesh,
    epoch: place.epoch,
    stage: index,
    transport,
    clock,
    costs,
    work: { transport: unshaped, timeOriginMs: performance.timeOrigin, always: role.reportWork },
  });
  const metadata = () => ({
    ...memberMetadata(role, place)(),
    numerics: spec.numerics,
    arithmetic: engine.arithmetic,
    layers: `${spec.firstLayer}-${spec.endLayer - 1}`,
    costs_ms: formatCosts(reports.costs),
    measured_costs_ms: formatCosts(measured),
    ...(pace && formatFit(pace.fit)),
  });
  const actor = stageActor({
    mesh,
    epoch: epoch(place.epoch),
    spec,
    hidden,
    engine,
    dtype: "f32",
    onWork: (work, watched) => reports.worked(work, watched),
    ...(pace && { pace }),
    ...(textOf && { textOf }),
    ...(masks && { masks }),
  });
  return spawn(actor, { transport, clock, log, metadata });
}

/** The stage's own way into the mesh; the first stage's also carries what the tree manager sends to it. */
function behindLink(transport: Transport, { link, mesh }: StageRole, place: RolePlace, log: Log): Transport {
  if (link === undefined) return transport;
  const inbound = place.index === 0 ? { inbound: stageSubject(mesh, place.epoch, 0, ANY) } : {};
  return shapeLink(transport, { link, clock: systemClock, log, ...inbound });
}

/** How often the real work did not hide inside the pace; see bench/pace-warnings.ts. */
const formatFit = ({ segments, tight, late }: PaceFit): Record<string, string> => ({
  paced_segments: String(segments),
  paced_tight: String(tight),
  paced_late: String(late),
});

async function loadTextOf(modelPath: string): Promise<(tokens: readonly number[]) => string> {
  const text = await loadModelText(modelPath);
  return (tokens) => {
    const decoder = text.decoder();
    return decoder.push(tokens) + decoder.flush();
  };
}
