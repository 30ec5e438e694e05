import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ActorRecord,
  KEYS,
  leaderSchema,
  type Plan,
  placementSchema,
} from "../../actors/mesh/records.ts";
import { parseJson } from "../../actors/messages.ts";
import { descendants, type RunningMesh, startMesh } from "../../bench/running-mesh.ts";
import { findMesh } from "../../cli/mesh-membership.ts";
import type { MeshSnapshot } from "../../cli/top-snapshot.ts";
import type { LinkModel } from "../../transport/link-model.ts";
import { type HostNetwork, type HostPlace, openHostNetwork } from "./host-network.ts";
import {
  accessTo,
  pacedAt,
  processHere,
  type RunningNode,
  stageHosts,
  startNode,
  until,
} from "./mesh-nodes.ts";

const SETTLE_MS = 300_000;

/** `flowmesh up --no-stages` on this machine, and hosts that come and go on machines of their own. */
export class HostMesh {
  readonly mesh: RunningMesh;
  readonly folder: string;
  readonly #caches: string | undefined;
  readonly #network: HostNetwork;
  readonly #places = new Map<string, Promise<HostPlace>>();
  readonly #nodes = new Map<string, RunningNode>();

  /**
   * @param caches folder that all hosts have their caches in; absent: each has one of its own, which goes with
   * the mesh
   * @param sessions requests at once that layers are placed for at least: so many that each host is worth a
   * stage, unless something else is said
   */
  static async open(
    link: Required<LinkModel>,
    {
      caches,
      sessions = 16,
      upArguments = [],
    }: {
      readonly caches?: string;
      readonly sessions?: number;
      readonly upArguments?: readonly string[];
    } = {},
  ): Promise<HostMesh> {
    const folder = await mkdtemp(join(tmpdir(), "flowmesh-hosts-"));
    const network = await openHostNetwork(link);
    try {
      const mesh = await startMesh(
        "--no-stages",
        "--sessions",
        `${sessions}`,
        ...network.upArguments,
        ...upArguments,
      );
      return new HostMesh(mesh, { folder, network, ...(caches !== undefined && { caches }) });
    } catch (error) {
      await network.close();
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(
    mesh: RunningMesh,
    at: { readonly folder: string; readonly network: HostNetwork; readonly caches?: string },
  ) {
    this.mesh = mesh;
    this.folder = at.folder;
    this.#network = at.network;
    this.#caches = at.caches;
  }

  get description(): string {
    return this.#network.description;
  }

  /**
   * The host joins, on the machine that it had before if it was there; its cache is still on it.
   *
   * @param layerMs what a layer takes it for one token; absent: as fast as this machine is
   */
  async join(name: string, layerMs?: number, ...args: string[]): Promise<RunningNode> {
    const node = await this.start(name, layerMs, ...args);
    this.#nodes.set(name, node);
    return node;
  }

  /** The same, by a host that is not expected to be let in. */
  async start(name: string, layerMs?: number, ...args: string[]): Promise<RunningNode> {
    const opened = this.#places.get(name) ?? this.#network.open();
    this.#places.set(name, opened);
    const place = await opened;
    const pace = layerMs === undefined ? [] : await pacedAt(this.folder, layerMs);
    const home = this.#caches ?? join(this.folder, name);
    return startNode(this.mesh, { home, place }, name, ...pace, ...args);
  }

  /** The newest process of that name. */
  node(name: string): RunningNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`no host ${name} has joined`);
    return node;
  }

  get names(): string[] {
    return [...this.#nodes.keys()];
  }

  /** Resolves when the mesh has so many stages on different hosts (or any), and nothing is being started. */
  settled(stages?: number): Promise<MeshSnapshot> {
    const isSettled = (now: MeshSnapshot) =>
      now.short === undefined &&
      (stages === undefined ? stageHosts(now).length > 0 : new Set(stageHosts(now)).size === stages) &&
      now.actors.some(({ role }) => role === "tree") &&
      now.actors.every(({ state }) => state === "active");
    return until(this.mesh, isSettled, SETTLE_MS);
  }

  /** Its number on this machine. */
  processOf({ host, pid }: ActorRecord & { readonly host: string }): Promise<number> {
    return processHere(this.#nodes.get(host)?.pid ?? this.mesh.pid, pid);
  }

  /** The host whose coordinator leads; undefined when none does. */
  async leader(): Promise<string | undefined> {
    const body = await this.#record(KEYS.leader);
    return body && parseJson(leaderSchema, { subject: KEYS.leader, body }).host;
  }

  /** What is in force; undefined before the first placement. */
  async plan(): Promise<Plan | undefined> {
    const body = await this.#record(KEYS.placement);
    return body && parseJson(placementSchema, { subject: KEYS.placement, body }).plan;
  }

  async #record(key: string): Promise<Uint8Array | undefined> {
    const { nats, token, mesh } = accessTo(this.mesh);
    const access = { url: nats, ...(token !== undefined && { token }) };
    const { transport, store } = await findMesh(access, mesh, `asks-${process.pid}`);
    try {
      return (await store.get(key))?.value;
    } finally {
      await transport.close();
    }
  }

  async natsServer(): Promise<number> {
    for (const pid of await descendants(this.mesh.pid)) {
      const name = await Bun.file(`/proc/${pid}/comm`)
        .text()
        .catch(() => "");
      if (name.trim() === "nats-server") return pid;
    }
    throw new Error("there is no nats-server");
  }

  async close(): Promise<void> {
    for (const node of this.#nodes.values()) {
      node.signal("SIGCONT");
      node.signal("SIGKILL");
    }
    await this.mesh.stop();
    await this.#network.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}
