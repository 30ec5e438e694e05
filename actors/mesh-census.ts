import * as v from "valibot";
import { eventSubject } from "../transport/subjects.ts";
import type { Message, Subscription, Transport } from "../transport/transport.ts";
import type { LiveActor, MeshEvent } from "./live-port.ts";
import { type PipelineMessage, parseJson, pipelineSchema } from "./messages.ts";
import type { Clock } from "./runtime/clock.ts";

const infoSchema = v.object({ name: v.string(), metadata: v.record(v.string(), v.string()) });

/** How long answers to "who is there" are collected. */
const ANSWER_MS = 300;
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
    this.#options.transport
      .requestMany("$SRV.INFO", new Uint8Array(0), { timeoutMs: ANSWER_MS })
      .then((answers) => {
        if (this.#closed) return;
        this.#actors = answers.flatMap(toActor).sort((a, b) => a.name.localeCompare(b.name));
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

/** None for services of others, and for tree managers, of which there is one a session. */
function toActor({ body }: Message): LiveActor[] {
  const info = v.safeParse(infoSchema, parseOrUndefined(body));
  if (!info.success) return [];
  const { name, metadata } = info.output;
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

function parseOrUndefined(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}

/** Of "1=2.91 2=3.30". */
function parseCosts(text: string): { nodes: number; ms: number }[] {
  return [...text.matchAll(/(\d+)=([\d.]+)/g)].map(([, nodes, ms]) => ({
    nodes: Number(nodes),
    ms: Number(ms),
  }));
}
