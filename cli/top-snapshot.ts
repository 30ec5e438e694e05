import * as v from "valibot";
import {
  actorSchema,
  DEAD_MS,
  type HostRecord,
  hostEventSchema,
  hostSchema,
  KEYS,
  placementSchema,
} from "../actors/mesh/records.ts";
import { encodeJson, parseJson } from "../actors/messages.ts";
import { eventSubject, hostSubject } from "../transport/subjects.ts";
import { ActivityMeter, sessionActivitySchema, stageActivitySchema } from "./mesh-activity.ts";
import { findMesh, JoinError, type MeshDoor } from "./mesh-membership.ts";
import type { NatsAccess } from "./role.ts";

export interface WatchOptions {
  readonly nats: string;
  readonly token?: string;
  readonly creds?: string;
  readonly mesh: string;
}

/** What a mesh is at one moment: what `flowmesh top --json` prints. */
export const snapshotSchema = v.object({
  mesh: v.string(),
  model: v.string(),
  epoch: v.number(),
  /** Why nothing can be served. */
  short: v.optional(v.string()),
  /** As each says of itself every second, sorted by name; its actors are in `actors`. */
  hosts: v.array(v.omit(hostSchema, ["actors"])),
  actors: v.array(
    v.object({
      ...actorSchema.entries,
      host: v.string(),
      /** Of a stage that serves: what it did in the last second or so. */
      activity: v.optional(stageActivitySchema),
    }),
  ),
  sessions: v.array(sessionActivitySchema),
});
export type MeshSnapshot = v.InferOutput<typeof snapshotSchema>;

export const accessOf = ({ nats, token, creds }: WatchOptions): NatsAccess => ({
  url: nats,
  ...(token !== undefined && { token }),
  ...(creds !== undefined && { credentials: creds }),
});

/** A look at a running mesh, by what its hosts say each second. */
export class MeshWatch {
  readonly #door: MeshDoor;
  readonly #activity: ActivityMeter;
  readonly #hosts = new Map<string, { record: HostRecord; heardAtMs: number }>();

  static async open(options: WatchOptions): Promise<MeshWatch> {
    const watch = new MeshWatch(await findMesh(accessOf(options), options.mesh, `watch-${process.pid}`));
    await watch.#activity.look();
    return watch;
  }

  private constructor(door: MeshDoor) {
    this.#door = door;
    const { transport, mesh } = door;
    this.#activity = new ActivityMeter(transport, mesh.mesh);
    transport.subscribe(eventSubject(mesh.mesh, "host"), (message) => {
      const { record } = parseJson(hostEventSchema, message);
      this.#hosts.set(record.name, { record, heardAtMs: performance.now() });
    });
  }

  async read(): Promise<MeshSnapshot> {
    const { store, mesh } = this.#door;
    const [entry, { stages, sessions, customActors }] = await Promise.all([
      store.get(KEYS.placement),
      this.#activity.look(),
    ]);
    const placement =
      entry === undefined
        ? { epoch: 0 }
        : parseJson(placementSchema, { subject: KEYS.placement, body: entry.value });
    const freshMs = performance.now() - DEAD_MS;
    const hosts = [...this.#hosts.values()]
      .filter(({ heardAtMs }) => heardAtMs > freshMs)
      .map(({ record }) => record)
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
    return {
      mesh: mesh.mesh,
      model: mesh.model.id,
      epoch: placement.epoch,
      ...("short" in placement && placement.short !== undefined && { short: placement.short }),
      hosts: hosts.map(({ actors: _, ...host }) => host),
      actors: [
        ...hosts.flatMap(({ name: host, actors }) =>
          actors.map((actor) => {
            const activity = stages.get(`${host}/${actor.name}`);
            return { ...actor, host, ...(activity && { activity }) };
          }),
        ),
        ...customActors,
      ],
      sessions: [...sessions],
    };
  }

  /** Asks a host to leave; resolves when it has. */
  async drain(host: string): Promise<void> {
    const { transport, mesh } = this.#door;
    if (!this.#hosts.has(host)) {
      const known = [...this.#hosts.keys()].toSorted().join(", ");
      throw new JoinError(
        `there is no host "${host}" in mesh "${mesh.mesh}"; there are: ${known || "none"}.`,
      );
    }
    await transport.request(hostSubject(mesh.mesh, host, "drain"), encodeJson({}), { timeoutMs: 5000 });
    while ((await this.#door.store.get(KEYS.host(host))) !== undefined) await Bun.sleep(200);
  }

  close(): Promise<void> {
    return this.#door.transport.close();
  }
}
