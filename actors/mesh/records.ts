import * as v from "valibot";
import { costsSchema } from "../messages.ts";

/**
 * What the mesh remembers in its key-value bucket, and tells as events: `host.<name>` (renewed by its
 * host), `leader`, `placement` (changed by the leading coordinator), `mesh` (written by `up`) and
 * `drafter.<name>` (renewed by a user's own drafter of that name).
 */

/** Version of what actors say to each other; machines with different ones can't share a mesh. */
export const PROTOCOL = 4;

/** A host that has not renewed its record for this long, by its own clock, ends what it runs. */
export const LEASE_MS = 3000;
/** A host that was not heard of for this long, by the coordinator's clock, is dead: later than the host itself gives up. */
export const DEAD_MS = 3500;
export const RENEW_EVERY_MS = 1000;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const name = v.pipe(v.string(), v.regex(/^[a-z0-9_-]{1,64}$/));

export const KEYS = {
  mesh: "mesh",
  leader: "leader",
  placement: "placement",
  host: (host: string) => `host.${host}`,
  drafter: (drafter: string) => `drafter.${drafter}`,
};
/** Name of the bucket, which can't have dots. */
export const bucketOf = (mesh: string): string => `flow_${mesh}`;
export const blobBucketOf = (mesh: string): string => `flow_${mesh}_weights`;

const placedRole = v.picklist(["stage", "drafter", "tree"]);

const failureSchema = v.object({ role: placedRole, reason: v.string() });
export type FailureRecord = v.InferOutput<typeof failureSchema>;

export const actorSchema = v.object({
  role: v.picklist([...placedRole.options, "gateway", "user"]),
  name: v.string(),
  pid: count,
  /** Absent while it only waits to be used. */
  epoch: v.optional(count),
  /** [first, end) */
  layers: v.optional(v.tuple([count, count])),
  state: v.picklist(["starting", "ready", "active"]),
  costs: v.optional(costsSchema),
  /** Of a stage: tokens of all sessions together that it has room for. */
  kvTokens: v.optional(count),
  /** Of a stage: hosts with the same one give the same bits (models/arithmetic.ts). */
  arithmetic: v.optional(v.string()),
});
export type ActorRecord = v.InferOutput<typeof actorSchema>;

export const hostSchema = v.object({
  name,
  /** Drawn when the host joins: tells it from another one of the same name. */
  instance: v.string(),
  pid: count,
  version: v.string(),
  protocol: count,
  /** Pipeline stages that it would run; 0 for a host that runs none. */
  slots: count,
  /** Where the gateway is, and so the drafter and the tree host are best. */
  control: v.boolean(),
  /** Stages of this host take turns on the same cores. */
  sharesCores: v.boolean(),
  /** For weights and caches, bytes. */
  memoryBytes: count,
  labels: v.record(v.string(), v.string()),
  /** Of one layer, by segment size; absent until it was measured. */
  layerMs: v.optional(costsSchema),
  /** To the server and back. */
  rttMs: v.pipe(v.number(), v.minValue(0)),
  draining: v.boolean(),
  /** Plans for which all of this host's actors are ready. */
  prepared: v.array(v.string()),
  /** What it was given lately and can't run, and why. */
  failed: v.array(failureSchema),
  actors: v.array(actorSchema),
});
export type HostRecord = v.InferOutput<typeof hostSchema>;

/** `event.host`, each second: the record, and its revision in the bucket. */
export const hostEventSchema = v.object({ revision: count, record: hostSchema });

const planStageSchema = v.object({
  host: name,
  firstLayer: count,
  endLayer: count,
  /** As its host measured it. */
  costs: v.optional(costsSchema),
});

export const planSchema = v.object({
  stages: v.pipe(v.array(planStageSchema), v.minLength(1)),
  /** Absent: nobody guesses. */
  drafter: v.optional(name),
  tree: name,
  sharesCores: v.boolean(),
});
export type Plan = v.InferOutput<typeof planSchema>;

export const placementSchema = v.object({
  /** Grows with each change of the record. */
  version: count,
  /** Grows with each new plan that is in force. */
  epoch: count,
  /** In force; absent before the first. */
  plan: v.optional(planSchema),
  /** Being prepared; in force with the next epoch. */
  next: v.optional(v.object({ id: v.string(), plan: planSchema })),
  /** Why nothing can be served now. */
  short: v.optional(v.string()),
});
export type PlacementRecord = v.InferOutput<typeof placementSchema>;
export const NO_PLACEMENT: PlacementRecord = { version: 0, epoch: 0 };

export const leaderSchema = v.object({ host: name, instance: v.string(), term: count });

export const modelSchema = v.object({
  id: v.string(),
  sha256: v.string(),
  bytes: count,
  layers: v.pipe(count, v.minValue(1)),
  contextLength: count,
  hidden: count,
  /** Work of the final norm and LM head, in layers. */
  headLayers: v.number(),
  /** The LM head is the embedding table. */
  tied: v.boolean(),
  /** Weights, bytes. */
  layerBytes: count,
  embeddingBytes: count,
  headBytes: count,
  numerics: v.picklist(["fast", "precise"]),
  /** 1-based layers that the draft head reads. */
  taps: v.array(count),
  drafter: v.optional(v.picklist(["head", "ngram", "hybrid"])),
  /** Of the draft head's weights, for drafters with one. */
  draftHead: v.optional(v.string()),
  /** Blob with the list of the file's parts (models/weight-parts.ts). */
  parts: v.string(),
});
export type ModelRecord = v.InferOutput<typeof modelSchema>;

/** `site=attic` for layers [first, end). */
const pinSchema = v.object({ firstLayer: count, endLayer: count, label: v.string(), value: v.string() });
export type LayerPin = v.InferOutput<typeof pinSchema>;

export const meshSchema = v.object({
  mesh: name,
  protocol: count,
  version: v.string(),
  policy: v.string(),
  /** Requests at once that the placement is made for at least. */
  sessionsLeast: v.optional(v.pipe(count, v.minValue(1)), 1),
  pins: v.array(pinSchema),
  model: modelSchema,
});
export type MeshRecord = v.InferOutput<typeof meshSchema>;
