import { eventSubject } from "../transport/subjects.ts";
import { encodeJson, type PipelineMessage } from "./messages.ts";
import type { Actor, ActorContext, ActorDefinition } from "./runtime/actor.ts";

const EVERY_MS = 1000;

/** Tells the mesh each second what it serves, and whether every actor of the pipeline is up. */
export function pipelineBeaconActor(mesh: string, read: () => PipelineMessage): ActorDefinition {
  return {
    name: "pipeline",
    description: "reports what the mesh serves, each second",
    start: (context) => new PipelineBeacon(mesh, read, context),
  };
}

class PipelineBeacon implements Actor {
  readonly #subject: string;
  readonly #read: () => PipelineMessage;
  readonly #context: ActorContext;

  constructor(mesh: string, read: () => PipelineMessage, context: ActorContext) {
    this.#subject = eventSubject(mesh, "pipeline");
    this.#read = read;
    this.#context = context;
    this.#tick();
  }

  receive(): void {}

  #tick(): void {
    this.#context.transport.publish(this.#subject, encodeJson(this.#read()));
    this.#context.after(EVERY_MS, () => this.#tick());
  }
}
