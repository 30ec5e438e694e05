import * as v from "valibot";
import type { ActorRecord } from "../actors/mesh/records.ts";
import { sessionAccountSchema, stageAccountSchema } from "../actors/messages.ts";
import { listServiceStats, type ServiceStats } from "../actors/runtime/service-list.ts";
import type { Transport } from "../transport/transport.ts";

const rate = v.pipe(v.number(), v.minValue(0));

/** What a stage has done since the last look. */
export const stageActivitySchema = v.object({
  /** Of the time, from 0 to 1. */
  busyShare: rate,
  segmentsPerSecond: rate,
  /** Mean number of nodes of a segment; null when there was none. */
  nodesPerSegment: v.nullable(rate),
});
export type StageActivity = v.InferOutput<typeof stageActivitySchema>;

export const sessionActivitySchema = v.object({
  id: v.string(),
  ...sessionAccountSchema.entries,
  /** Since it began; null before the first commit. */
  tokensPerCommit: v.nullable(rate),
  /** Since the last look; null when it had not begun then. */
  tokensPerSecond: v.nullable(rate),
});
type SessionActivity = v.InferOutput<typeof sessionActivitySchema>;

interface Look {
  readonly atMs: number;
  readonly byId: ReadonlyMap<string, ServiceStats>;
}

export interface MeshActivity {
  /** By "host/name". */
  readonly stages: ReadonlyMap<string, StageActivity>;
  readonly sessions: readonly SessionActivity[];
  /** Actors that users run beside those of the mesh's hosts. */
  readonly customActors: readonly (ActorRecord & { readonly host: string })[];
}

/** What the actors of a mesh do, from what they tell of themselves by `$SRV.STATS` at two moments. */
export class ActivityMeter {
  readonly #transport: Transport;
  readonly #mesh: string;
  #last: Look | undefined;

  constructor(transport: Transport, mesh: string) {
    this.#transport = transport;
    this.#mesh = mesh;
  }

  /** Since the last look; at the first one, since the actors' starts. */
  async look(): Promise<MeshActivity> {
    const services = (await listServiceStats(this.#transport)).filter(
      ({ metadata }) => metadata.mesh === this.#mesh,
    );
    const look = { atMs: performance.now(), byId: new Map(services.map((each) => [each.id, each])) };
    const before = this.#last;
    this.#last = look;
    const seconds = before === undefined ? undefined : (look.atMs - before.atMs) / 1000;
    return {
      stages: new Map(
        services.flatMap((service) => {
          const activity = stageActivity(service, before?.byId.get(service.id), seconds);
          return activity === undefined ? [] : [[`${service.metadata.host}/${service.name}`, activity]];
        }),
      ),
      sessions: services.flatMap((service) =>
        sessionActivity(service, before?.byId.get(service.id), seconds),
      ),
      customActors: services.flatMap(({ name, metadata }) => {
        const { role, host = "", pid, epoch } = metadata;
        if (role !== "user") return [];
        const placed = epoch === undefined ? {} : { epoch: Number(epoch) };
        return [{ role, name, host, pid: Number(pid), ...placed, state: "active" }];
      }),
    };
  }
}

function stageActivity(
  now: ServiceStats,
  before: ServiceStats | undefined,
  seconds: number | undefined,
): StageActivity | undefined {
  const account = v.safeParse(stageAccountSchema, now.account);
  if (!account.success) return undefined;
  const earlier = v.safeParse(stageAccountSchema, before?.account);
  // Another epoch counts from 0 again.
  const since = (field: "segments" | "nodes") =>
    Math.max(0, account.output[field] - (earlier.success ? earlier.output[field] : 0));
  const segments = since("segments");
  const busySeconds = Math.max(0, now.busyMs - (before?.busyMs ?? 0)) / 1000;
  return {
    busyShare: seconds === undefined ? 0 : Math.min(1, busySeconds / seconds),
    segmentsPerSecond: seconds === undefined ? 0 : segments / seconds,
    nodesPerSegment: segments === 0 ? null : since("nodes") / segments,
  };
}

function sessionActivity(
  now: ServiceStats,
  before: ServiceStats | undefined,
  seconds: number | undefined,
): SessionActivity[] {
  const account = v.safeParse(sessionAccountSchema, now.account);
  if (!account.success) return [];
  const { commits, completionTokens } = account.output;
  const earlier = v.safeParse(sessionAccountSchema, before?.account);
  return [
    {
      id: now.name.replace(/^tree-/, ""),
      ...account.output,
      tokensPerCommit: commits === 0 ? null : completionTokens / commits,
      tokensPerSecond:
        !earlier.success || seconds === undefined
          ? null
          : Math.max(0, completionTokens - earlier.output.completionTokens) / seconds,
    },
  ];
}
