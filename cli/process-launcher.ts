import { join } from "node:path";
import { ChildProcess } from "../actors/host/child-process.ts";
import { Supervisor, type SupervisorEvent } from "../actors/host/supervisor.ts";
import type { RunningUnit, StageFacts, UnitLauncher, UnitPlace, UnitSpec } from "../actors/host/unit.ts";
import type { MeshRecord } from "../actors/mesh/records.ts";
import type { FetchProgress } from "../actors/mesh/weights.ts";
import { systemClock } from "../actors/runtime/clock.ts";
import type { Log } from "../actors/runtime/log.ts";
import { compileInBackground } from "../models/compile-background.ts";
import { DEFAULT_HEAD_MANIFEST } from "../models/draft/compile-head.ts";
import { readHeadManifest } from "../models/draft/head-manifest.ts";
import type { CostTable } from "../models/stage-engine.ts";
import { DRAFT_PIECES, HEADER, piecesOfStage } from "../models/weight-parts.ts";
import type { LinkModel } from "../transport/link-model.ts";
import { type DeviceModel, scaledCosts } from "./device-model.ts";
import type { NatsAccess, RolePlace, RoleSpec } from "./role.ts";

/** The model file, or the part of it that this machine has. */
export interface ModelSource {
  readonly path: string;
  /** Sees that these pieces are in the file. */
  ensure(
    pieces: readonly string[],
    options: { signal?: AbortSignal; onProgress?: (progress: FetchProgress) => void },
  ): Promise<void>;
}

export interface LauncherOptions {
  readonly nats: NatsAccess;
  readonly host: string;
  readonly mesh: MeshRecord;
  readonly source: ModelSource;
  readonly cache: string;
  /** Manifest of the draft head; absent: the one that comes along. */
  readonly headManifest?: string;
  /** Program and arguments of a child process, which must call `runChild`. */
  readonly childCommand: readonly string[];
  readonly threads: number;
  /** Memory for keys and values of each stage, bytes. */
  readonly kvBudgetBytes: number;
  /** Of one layer, if it was measured: stages are then ready sooner, and find out the rest as they run. */
  readonly layerCosts: () => CostTable | undefined;
  readonly device?: DeviceModel;
  readonly link?: LinkModel;
  readonly reportWork: boolean;
  readonly log: Log;
  readonly onEvent: (event: SupervisorEvent) => void;
  readonly onProgress?: (what: string, progress: FetchProgress) => void;
}

type Compiled =
  | { readonly role: "stage"; readonly folder: string }
  | { readonly role: "drafter"; readonly headFolder?: string }
  | { readonly role: "tree" };

/** Runs each unit as a child process of this one; before that, fetches and compiles what it needs. */
export class ProcessLauncher implements UnitLauncher {
  readonly #options: LauncherOptions;

  constructor(options: LauncherOptions) {
    this.#options = options;
  }

  async start(unit: UnitSpec, name: string, signal: AbortSignal): Promise<RunningUnit> {
    const compiled = await this.#compile(unit, name, signal);
    signal.throwIfAborted();
    return startUnit({ ...this.#options, unit, name, signal, compiled });
  }

  async #compile(unit: UnitSpec, name: string, signal: AbortSignal): Promise<Compiled> {
    const { source, mesh, onProgress } = this.#options;
    const { model } = mesh;
    const pieces =
      unit.role === "stage"
        ? piecesOfStage(unit.firstLayer, unit.endLayer, model.layers, model.tied)
        : unit.role === "drafter"
          ? DRAFT_PIECES
          : [HEADER];
    await source.ensure(pieces, { signal, onProgress: (progress) => onProgress?.(name, progress) });
    if (unit.role === "tree") return { role: "tree" };
    if (unit.role === "stage") return { role: "stage", folder: await this.#compileStage(unit, signal) };
    if (model.drafter === "ngram") return { role: "drafter" };
    return { role: "drafter", headFolder: await this.#compileHead(signal) };
  }

  /** @throws when this machine has another head than the mesh drafts with: its drafts would be no good. */
  async #compileHead(signal: AbortSignal): Promise<string> {
    const { mesh, source, headManifest: manifestPath = DEFAULT_HEAD_MANIFEST } = this.#options;
    const { weights } = await readHeadManifest(manifestPath);
    if (weights.sha256 !== mesh.model.draftHead) {
      throw new Error(
        `this machine's draft head (${manifestPath}) is not the one that the mesh drafts with; ` +
          "run the same version of flowmesh, or leave the drafter to the machine that has the head",
      );
    }
    const options = { cacheDir: this.#compiledFolder, sourceHash: mesh.model.sha256, manifestPath };
    return compileInBackground({ kind: "head", modelPath: source.path, options }, signal);
  }

  get #compiledFolder(): string {
    return join(this.#options.cache, "compiled");
  }

  async #compileStage(unit: Extract<UnitSpec, { role: "stage" }>, signal: AbortSignal): Promise<string> {
    const { source, mesh } = this.#options;
    const index = unit.firstLayer === 0 ? 0 : 1;
    const spec = {
      ...layersOf(unit, this.#options.mesh),
      // Only whether it is the first or the last stage makes a difference.
      index,
      stageCount: unit.endLayer === unit.layerCount ? index + 1 : index + 2,
    };
    const place = { cacheDir: this.#compiledFolder, sourceHash: mesh.model.sha256 };
    return compileInBackground({ kind: "stage", modelPath: source.path, spec, ...place }, signal);
  }
}

/** As far as they follow from those of one layer. */
function foreseenCosts(unit: UnitSpec, { layerCosts, mesh }: LauncherOptions): CostTable | undefined {
  const table = layerCosts();
  if (unit.role !== "stage" || table === undefined) return undefined;
  return scaledCosts({ name: "a layer", costs: table, layers: 1 }, unit, mesh.model.headLayers);
}

function layersOf(unit: Extract<UnitSpec, { role: "stage" }>, { model }: MeshRecord) {
  const { firstLayer, endLayer, layerCount } = unit;
  const taps = model.taps.filter((tap) => tap > firstLayer && tap <= endLayer);
  return { firstLayer, endLayer, layerCount, taps, numerics: model.numerics };
}

interface UnitStart extends LauncherOptions {
  readonly unit: UnitSpec;
  readonly name: string;
  readonly signal: AbortSignal;
  readonly compiled: Compiled;
}

async function startUnit(start: UnitStart): Promise<RunningUnit> {
  const { name, log, childCommand: command, signal, onEvent } = start;
  const supervisor = new Supervisor({ clock: systemClock, onEvent });
  let place: UnitPlace | undefined;
  let child: ChildProcess | undefined;
  let costs = foreseenCosts(start.unit, start);
  const launch = async (abort: AbortSignal) => {
    const placedAtStart = place;
    const options = { name, command, log, clock: systemClock, spec: roleOf(start, placedAtStart, costs) };
    child = await ChildProcess.start({ ...options, signal: AbortSignal.any([abort, signal]) });
    if (place !== placedAtStart && place !== undefined) child.tell(rolePlace(place));
    return child;
  };
  try {
    const payload = await supervisor.start({ name, start: launch });
    const facts = start.unit.role === "stage" ? (payload as StageFacts) : undefined;
    // A restart need not measure again.
    costs = facts?.costs ?? costs;
    return {
      get pid() {
        return supervisor.missing === undefined ? child?.pid : undefined;
      },
      ...(facts && { facts }),
      enter(entered) {
        place = entered;
        child?.tell(rolePlace(entered));
      },
      gaveUp: supervisor.escalated.then(({ message }) => message),
      stop: () => supervisor.stop(),
      kill: () => supervisor.kill(),
    };
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
}

const rolePlace = ({ epoch, index, plan }: UnitPlace): RolePlace => ({
  epoch,
  index,
  stageCount: plan.stages.length,
});

function roleOf(start: UnitStart, place: UnitPlace | undefined, costs: CostTable | undefined): RoleSpec {
  const { nats, host, mesh, source, compiled, unit, threads, kvBudgetBytes, device, link, reportWork } =
    start;
  const member = { nats, mesh: mesh.mesh, host, modelPath: source.path };
  const placed = place === undefined ? {} : { place: rolePlace(place) };
  if (compiled.role === "stage" && unit.role === "stage") {
    const layers = layersOf(unit, mesh);
    const pace = device === undefined ? {} : { pace: scaledCosts(device, unit, mesh.model.headLayers) };
    const measured = { ...pace, ...(link && { link }), reportWork };
    const known = costs === undefined ? {} : { costs };
    const loaded = { ...known, layers, folder: compiled.folder, threads, kvBudgetBytes };
    return { role: "stage", ...member, ...loaded, ...measured, ...placed };
  }
  if (compiled.role === "drafter") {
    const { headFolder } = compiled;
    const kind = mesh.model.drafter ?? "ngram";
    return { role: "drafter", ...member, kind, threads, ...(headFolder && { headFolder }), ...placed };
  }
  const { policy } = mesh;
  return { role: "tree", ...member, policy, ...(place && { epoch: place.epoch, plan: place.plan }) };
}
