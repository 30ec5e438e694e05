/**
 * What a file for `flowmesh run` may import from "flowmesh": actors and drafters of one's own. Its default export is
 * what `defineActor` or `defineDrafter` gives.
 */
export type {
  Actor,
  ActorContext,
  ActorDefinition,
  Lane,
  ListenOptions,
} from "../actors/runtime/actor.ts";
// biome-ignore lint/performance/noBarrelFile: it is the one module that programs of others import.
export { type ActorOptions, defineActor, type Reaction } from "../actors/runtime/define-actor.ts";
export type { Message } from "../transport/transport.ts";
export { type Drafter, defineDrafter, type Predict, type Prediction, type Tokenizer } from "./drafter.ts";
