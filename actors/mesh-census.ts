import { parseCosts } from "../models/cost-table.ts";
import { eventSubject } from "../transport/subjects.ts";
import type { Message, Subscription, Transport } from "../transport/transport.ts";
import type { LiveActor, MeshEvent } from "./live-port.ts";
import { type PipelineMessage, parseJson, pipelineSchema } from "./messages.ts";
import type { Clock } from "./runtime/clock.ts";
import { type ListedService, listServices } from "./runtime/service-list.ts";

/** Something has changed: more may follow, so the question waits a little. */
const SETTLE_MS = 200;

export interface MeshCensusOptions {
  readonly mesh: string;
  readonly transport: Transport;
  readonly clock: Clock;
  /** Told of the mesh as soon as it is known, and whenever it has changed. */
  readonly onChange: (mesh: MeshEvent) => void;
}

/** Keeps account of which actor runs where, by the NATS micro-service protocol and the mesh's own events. */
export class MeshCensus {
  readonly #options: MeshCensusOptions;
  readonly #subscriptions: readonly Subscription[];
  #pipeline: PipelineMessage | undefined;
  #actors: readonly LiveActor[] = [];
  #told = "";
  #mesh: MeshEvent | undefined;
  #stopTimer: (() => void) | undefined;
  #closed = false;

  constructor(options: MeshCensusOptions) {
    this.#options = options;
    const hear = (kind: string, handle: (message: Message) => void) =>
      options.transport.subscribe(eventSubject(options.mesh, kind), handle);
    this.#subscriptions = [
      hear("pipeline", (message) => {
        this.#pipeline = parseJson(pipelineSchema, message);
        this.#tell();
      }),
      hear("up", () => this.#countLater()),
      hear("costs", () => this.#countLater()),
    ];
    this.#count();
  }

  /** What was told last; undefined until the mesh is known. */
  get mesh(): MeshEvent | undefined {
    return this.#mesh;
  }

  close(): void {
    this.#closed = true;
    this.#stopTimer?.();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #countLater(): void {
    this.#stopTimer ??= this.#options.clock.setTimer(SETTLE_MS, () => {
      this.#stopTimer = undefined;
      this.#count();
    });
  }

  #count(): void {
    listServices(this.#options.transport)
      .then((services) => {
        if (this.#closed) return;
        const own = services.filter(({ metadata }) => metadata.mesh === this.#options.mesh);
        this.#actors = own.flatMap(toActor);
        this.#tell();
      })
      // The connection is away; when it is back, the pipeline reports, and its actors are counted again.
      .catch(() => this.#closed || this.#countLater());
  }

  #tell(): void {
    const pipeline = this.#pipeline;
    if (pipeline === undefined || this.#actors.length === 0) return;
    const { ready, reason, modelId, numerics } = pipeline;
    const mesh: MeshEvent = {
      type: "mesh",
      ready,
      ...(reason !== undefined && { reason }),
      modelId,
      numerics,
      actors: this.#actors,
    };
    const told = JSON.stringify(mesh);
    if (told === this.#told) return;
    this.#told = told;
    this.#mesh = mesh;
    this.#options.onChange(mesh);
  }
}

/** None for tree managers, of which there is one a session. */
function toActor({ name, metadata }: ListedService): LiveActor[] {
  const { host, pid, layers, costs_ms: costs } = metadata;
  if (host === undefined || pid === undefined) return [];
  const place = /^stage-(\d+)$/.exec(name)?.[1];
  return [
    {
      name,
      host,
      pid,
      ...(place !== undefined && { stage: Number(place) }),
      ...(layers !== undefined && { layers }),
      ...(costs !== undefined && { costs: parseCosts(costs) }),
    },
  ];
}
