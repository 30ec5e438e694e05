import { drafterActor } from "../../actors/drafter.ts";
import { LiveFeed } from "../../actors/live-feed.ts";
import type { ActorDefinition, ActorRef } from "../../actors/runtime/actor.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { SessionClient } from "../../actors/session-client.ts";
import { type StageWork, stageActor } from "../../actors/stage.ts";
import { StageReports } from "../../actors/stage-reports.ts";
import { treeHostActor } from "../../actors/tree-host.ts";
import { epoch } from "../../decoding/ids.ts";
import { createPolicy } from "../../decoding/policies/registry.ts";
import { LocalStageEngine } from "../../models/local-stage-engine.ts";
import { Pace } from "../../models/pace.ts";
import type { CostTable } from "../../models/stage-engine.ts";
import type { StageSpec } from "../../models/stage-spec.ts";
import type { LinkModel } from "../../transport/link-model.ts";
import { shapeLink } from "../../transport/shaped-link.ts";
import { ANY, stageSubject } from "../../transport/subjects.ts";
import type { Transport } from "../../transport/transport.ts";
import { everyPolicy } from "../decoding/policies/every-policy.ts";
import { ToyDraftEngine, ToyMath } from "./toy-engines.ts";
import { ToyMasks } from "./toy-masks.ts";
import { TOY } from "./toy-model.ts";
import type { World } from "./world.ts";

const MESH = "toy";
const EPOCH = epoch(1);

/** Sizes that suit the toy, whose drafter names three candidates a level. */
const SIZES = { total: 8, topK: 2, depth: 3, expandTotal: 8, segment: 3, appended: 3, width: 2, batch: 2 };

export const TOY_POLICIES: readonly string[] = [...everyPolicy(SIZES), "naive", "flowspec", "fullflow"];

/** The toy stages answer at once. */
const TOY_COSTS = [{ nodes: 1, ms: 0.01 }];

export interface ToyMeshOptions {
  readonly stageCount: number;
  /** Chance that the drafter's best guess is right; undefined for no drafter. */
  readonly draftSkill?: number;
  /** The device that all stages act like. */
  readonly pace?: CostTable;
  /** Between each stage and the others. */
  readonly link?: LinkModel;
  /** KV rows that a stage has room for; by default as many as it wants. */
  readonly kvRows?: (stage: number) => number;
  /** Whether sessions can be watched. */
  readonly watched?: boolean;
}

/** All actors of a pipeline with the toy model, in a simulated world. */
export class ToyMesh {
  readonly client: SessionClient;
  readonly live: LiveFeed;
  readonly drafter: ToyDraftEngine;
  readonly masks = new ToyMasks();
  readonly engines: LocalStageEngine<never>[] = [];
  readonly #world: World;
  readonly #options: ToyMeshOptions;
  readonly #refs = new Map<string, ActorRef>();

  static async start(world: World, options: ToyMeshOptions): Promise<ToyMesh> {
    const mesh = new ToyMesh(world, options);
    for (let index = 0; index < options.stageCount; index++) await mesh.startStage(index);
    if (options.draftSkill !== undefined) {
      await mesh.#spawn(drafterActor({ mesh: MESH, epoch: EPOCH, engine: mesh.drafter }));
    }
    await mesh.#spawn(
      treeHostActor({
        mesh: MESH,
        epoch: EPOCH,
        stageCount: options.stageCount,
        hasDrafter: options.draftSkill !== undefined,
        chunkNodes: 8,
        contextLength: 256,
        defaultPolicy: "flowspec",
        makePolicy: createPolicy,
        costs: Array.from({ length: options.stageCount }, () => options.pace ?? TOY_COSTS),
      }),
    );
    return mesh;
  }

  private constructor(world: World, options: ToyMeshOptions) {
    this.#world = world;
    this.#options = options;
    this.drafter = new ToyDraftEngine(options.draftSkill ?? 0, world.random);
    const transport = world.mesh.connect("gateway");
    const pipeline = {
      modelId: "toy",
      contextLength: 256,
      policies: [...TOY_POLICIES],
      stages: options.stageCount,
      numerics: "fast",
    };
    const { clock } = world;
    this.live = new LiveFeed({ mesh: MESH, transport, clock, textOf: (token) => `${token} ` });
    this.client = new SessionClient({ mesh: MESH, transport, clock, live: this.live });
    this.client.status = () => ({ ready: true, ...pipeline });
  }

  /** A stage with nothing in its memory, as after a crash of its process. */
  async startStage(index: number): Promise<void> {
    const { stageCount, pace, link } = this.#options;
    const { clock } = this.#world;
    const bound = (k: number) => Math.round((k * TOY.layers) / stageCount);
    const spec: StageSpec = {
      index,
      stageCount,
      firstLayer: bound(index),
      endLayer: bound(index + 1),
      layerCount: TOY.layers,
      taps: TOY.taps.filter((layer) => layer > bound(index) && layer <= bound(index + 1)),
      numerics: "fast",
    };
    const engine = new LocalStageEngine(new ToyMath(spec), this.#options.kvRows?.(index) ?? 1e9);
    this.engines[index] = engine as never;
    const stage = { mesh: MESH, epoch: EPOCH, spec, hidden: 1, engine, dtype: "f32" } as const;
    const transport = this.#world.mesh.connect(`stage-${index}`);
    const onWork = this.#reportsOf(index, transport);
    const actor = stageActor({
      ...stage,
      ...(index === stageCount - 1 && { masks: this.masks }),
      ...(pace && { pace: new Pace(pace, clock) }),
      ...(onWork && { onWork }),
    });
    const inbound = index === 0 ? { inbound: stageSubject(MESH, EPOCH, 0, ANY) } : {};
    await this.#spawn(actor, link && shapeLink(transport, { link, clock, ...inbound }));
  }

  #reportsOf(stage: number, transport: Transport) {
    const { watched, pace: costs = TOY_COSTS } = this.#options;
    if (watched !== true) return undefined;
    const { clock } = this.#world;
    const work = { transport, timeOriginMs: 0, always: false };
    const reports = new StageReports({ mesh: MESH, epoch: EPOCH, stage, transport, clock, costs, work });
    return (done: StageWork, isWatched: boolean) => reports.worked(done, isWatched);
  }

  async killStage(index: number): Promise<void> {
    await this.#refs.get(`stage-${index}`)?.stop();
  }

  async #spawn(
    definition: ActorDefinition,
    transport = this.#world.mesh.connect(definition.name),
  ): Promise<void> {
    const { clock, log } = this.#world;
    const ref = await spawn(definition, { transport, clock, log });
    this.#refs.set(definition.name, ref);
    this.#world.actors.push(ref);
  }
}
