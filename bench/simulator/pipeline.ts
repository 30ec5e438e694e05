import type { PipelineCosts } from "../../decoding/costs.ts";
import type { Walk } from "../../decoding/segment.ts";
import type { LinkModel } from "../../transport/link-model.ts";
import type { EventQueue } from "./event-queue.ts";
import { featureBytes, JSON_BYTES, segmentBytes } from "./message-sizes.ts";
import { Network } from "./network.ts";
import { type FlightSegment, Stage, type StageWork } from "./stage.ts";

export interface PipelineOptions {
  readonly costs: PipelineCosts;
  readonly link: LinkModel;
  /** Time to handle a message: a stage's for a segment, else only a delay. */
  readonly overheadMs: number;
  /** Numbers a hidden row. */
  readonly hidden: number;
  /** Layers that the drafter reads, spread evenly from the first stage to the last. */
  readonly taps: number;
}

/** What one session is told by its stages; calls come when the message has been handled. */
export interface PipelineClient {
  /** The last stage computed these live nodes: the verifier's walk, if it moves. */
  verify(segment: FlightSegment): Walk | undefined;
  credited(sequence: number): void;
  acknowledged(sequence: number, certain: number): void;
  committed(sequence: number, walk: Walk): void;
  /** Features of all positions before `end` from one tap. */
  featuresCame(tap: number, end: number): void;
  worked(work: StageWork): void;
}

/**
 * The stages, one device each, and a further device with tree manager and drafter. It passes on segments,
 * credits, acks, commits and features between them, as actors/stage.ts does.
 */
export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #events: EventQueue;
  readonly #network: Network;
  readonly #stages: readonly Stage[];
  /** Device of tree manager and drafter. */
  readonly #home: number;
  readonly #clients = new Map<number, PipelineClient>();

  constructor(options: PipelineOptions, events: EventQueue) {
    const { costs, link, overheadMs } = options;
    this.#options = options;
    this.#events = events;
    this.#home = costs.stageCount;
    this.#network = new Network(costs.stageCount + 1, link);
    this.#stages = Array.from({ length: costs.stageCount }, (_, index) => {
      const known = new Map<number, number>();
      const costMs = (nodes: number) => {
        const ms = known.get(nodes) ?? costs.stageMs(index, nodes);
        known.set(nodes, ms);
        return ms;
      };
      return new Stage({ index, events, costMs, overheadMs, done: (work) => this.#done(work) });
    });
  }

  /** Sent so far, by all devices. */
  get bytes(): number {
    return this.#network.bytes;
  }

  begin(session: number, client: PipelineClient): void {
    this.#clients.set(session, client);
  }

  /** The tree manager sends a segment to the first stage. */
  enter(segment: FlightSegment): void {
    this.#forward(this.#home, 0, segment);
  }

  /** The tree manager tells that a session is over. */
  end(session: number): void {
    const atMs = this.#send(this.#home, JSON_BYTES) + this.#options.overheadMs;
    this.#events.at(atMs, () => {
      this.#clients.delete(session);
      for (const stage of this.#stages) stage.forget(session);
    });
  }

  #forward(device: number, stage: number, segment: FlightSegment): void {
    const bytes = segmentBytes(segment.nodes.length, stage === 0 ? 0 : this.#options.hidden);
    this.#events.at(this.#send(device, bytes), () => this.#stages[stage]?.receive(segment));
  }

  #done(work: StageWork): void {
    const { stage, segment } = work;
    const client = this.#clients.get(segment.session);
    if (client === undefined) return;
    client.worked(work);
    const isLast = stage === this.#home - 1;
    if (stage === 0 && !isLast) this.#tell(stage, () => client.credited(segment.sequence));
    if (segment.committed) this.#sendFeatures(stage, client, 0, segment.nodes.length);
    if (isLast) this.#verify(stage, client, segment);
    else this.#forward(stage, stage + 1, segment);
  }

  #verify(last: number, client: PipelineClient, segment: FlightSegment): void {
    const { session, sequence, certain } = segment;
    const walk = client.verify(segment);
    if (walk === undefined) {
      this.#tell(last, () => client.acknowledged(sequence, certain));
      return;
    }
    const end = walk.position + walk.tokens.length;
    const heardAtMs = this.#send(last, JSON_BYTES) + this.#options.overheadMs;
    this.#events.at(heardAtMs, () => {
      client.committed(sequence, walk);
      for (const [index, stage] of this.#stages.entries()) {
        if (index === last) continue;
        stage.hear(session, end);
        this.#sendFeatures(index, client, walk.position - 1, end - 1);
      }
    });
    this.#stages[last]?.hear(session, end);
    if (!segment.committed) this.#sendFeatures(last, client, walk.position - 1, end - 1);
  }

  #sendFeatures(stage: number, client: PipelineClient, from: number, end: number): void {
    const { taps, hidden, overheadMs } = this.#options;
    for (let tap = 0; tap < taps; tap++) {
      const source = taps === 1 ? this.#home - 1 : Math.round((tap * (this.#home - 1)) / (taps - 1));
      if (source !== stage) continue;
      const atMs = this.#send(stage, featureBytes(end - from, hidden)) + overheadMs;
      this.#events.at(atMs, () => client.featuresCame(tap, end));
    }
  }

  /** A small message to the tree manager. */
  #tell(device: number, then: () => void): void {
    this.#events.at(this.#send(device, JSON_BYTES) + this.#options.overheadMs, then);
  }

  /** When the message arrives. */
  #send(device: number, bytes: number): number {
    return this.#network.send(device, bytes, this.#events.nowMs);
  }
}
