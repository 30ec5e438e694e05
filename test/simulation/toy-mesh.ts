import { drafterActor } from "../../actors/drafter.ts";
import type { ActorDefinition, ActorRef } from "../../actors/runtime/actor.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { SessionClient } from "../../actors/session-client.ts";
import { stageActor } from "../../actors/stage.ts";
import { treeHostActor } from "../../actors/tree-host.ts";
import { epoch } from "../../decoding/ids.ts";
import { Autoregressive } from "../../decoding/policies/autoregressive.ts";
import { Flowspec, PAPER_SIZES } from "../../decoding/policies/flowspec.ts";
import type { Policy } from "../../decoding/policies/policy.ts";
import { LocalStageEngine } from "../../models/local-stage-engine.ts";
import type { StageSpec } from "../../models/stage-spec.ts";
import { ToyDraftEngine, ToyMath } from "./toy-engines.ts";
import { TOY } from "./toy-model.ts";
import type { World } from "./world.ts";

const MESH = "toy";
const EPOCH = epoch(1);

export const TOY_POLICIES: Record<string, () => Policy> = {
  autoregressive: () => new Autoregressive(),
  flowspec: () =>
    new Flowspec({
      initial: { topK: 2, depth: 3, total: 8 },
      expansion: { topK: 2, depth: 3, total: 8 },
      segmentNodes: 3,
      appendedNodes: 3,
      restart: "send",
      minProbability: 0.001,
    }),
  paper: () => new Flowspec(PAPER_SIZES),
};

export interface ToyMeshOptions {
  readonly stageCount: number;
  /** Chance that the drafter's best guess is right; undefined for no drafter. */
  readonly draftSkill?: number;
}

/** All actors of a pipeline with the toy model, in a simulated world. */
export class ToyMesh {
  readonly client: SessionClient;
  readonly drafter: ToyDraftEngine;
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
        policies: new Map(Object.entries(TOY_POLICIES)),
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
      policies: Object.keys(TOY_POLICIES),
      stages: options.stageCount,
      numerics: "fast",
    };
    this.client = new SessionClient({ mesh: MESH, transport, clock: world.clock });
    this.client.status = () => ({ ready: true, ...pipeline });
  }

  /** A stage with nothing in its memory, as after a crash of its process. */
  async startStage(index: number): Promise<void> {
    const { stageCount } = this.#options;
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
    const engine = new LocalStageEngine(new ToyMath(spec), 1e9);
    this.engines[index] = engine as never;
    const stage = { mesh: MESH, epoch: EPOCH, spec, hidden: 1, engine, dtype: "f32" } as const;
    await this.#spawn(stageActor(stage));
  }

  async killStage(index: number): Promise<void> {
    await this.#refs.get(`stage-${index}`)?.stop();
  }

  async #spawn(definition: ActorDefinition): Promise<void> {
    const { clock, log, mesh } = this.#world;
    const ref = await spawn(definition, { transport: mesh.connect(definition.name), clock, log });
    this.#refs.set(definition.name, ref);
    this.#world.actors.push(ref);
  }
}
