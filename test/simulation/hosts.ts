import { drafterActor } from "../../actors/drafter.ts";
import { HostAgent } from "../../actors/host/agent.ts";
import type { RunningUnit, UnitLauncher, UnitPlace, UnitSpec } from "../../actors/host/unit.ts";
import { type HostRecord, KEYS, type MeshRecord, PROTOCOL } from "../../actors/mesh/records.ts";
import type { ActorDefinition, ActorRef } from "../../actors/runtime/actor.ts";
import type { Clock } from "../../actors/runtime/clock.ts";
import { spawn } from "../../actors/runtime/spawn.ts";
import { stageActor } from "../../actors/stage.ts";
import { treeHostActor, treePlace } from "../../actors/tree-host.ts";
import { epoch } from "../../decoding/ids.ts";
import { createPolicy } from "../../decoding/policies/registry.ts";
import { LocalStageEngine } from "../../models/local-stage-engine.ts";
import type { KeyEntry, KeyValue } from "../../transport/key-value.ts";
import { MemoryKeyValue } from "../../transport/memory-key-value.ts";
import type { Transport } from "../../transport/transport.ts";
import { ToyDraftEngine, ToyMath } from "./toy-engines.ts";
import { TOY } from "./toy-model.ts";
import type { World } from "./world.ts";

export const MESH = "toy";
const STORE_TIMEOUT_MS = 1000;

const TOY_RECORD: MeshRecord = {
  mesh: MESH,
  protocol: PROTOCOL,
  version: "toy",
  policy: "fullflow",
  sessionsLeast: 1,
  pins: [],
  model: {
    id: "toy",
    sha256: "toy",
    bytes: 1,
    layers: TOY.layers,
    contextLength: 256,
    hidden: 1,
    headLayers: 1,
    tied: false,
    layerBytes: 1,
    embeddingBytes: 1,
    headBytes: 1,
    numerics: "fast",
    taps: [...TOY.taps],
    drafter: "hybrid",
    parts: "toy",
  },
};

/** A machine: it can be cut off, paused and killed. Its connections are called `<host>/…`. */
export class SimHost {
  readonly name: string;
  cut = false;
  paused = false;
  dead = false;
  readonly units = new Set<SimUnit>();
  agent: HostAgent | undefined;
  readonly #waiting: (() => void)[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /** What happens on a paused machine happens when it goes on; on a dead one it does not. */
  run(what: () => void): void {
    if (this.dead) return;
    if (this.paused) this.#waiting.push(what);
    else what();
  }

  resume(): void {
    this.paused = false;
    for (const what of this.#waiting.splice(0)) this.run(what);
  }

  /** No code of it runs any more. */
  kill(): void {
    this.dead = true;
    for (const unit of this.units) unit.kill();
  }
}

/** Hosts, their network and the store they share, in a simulated world. */
export class SimMesh {
  readonly hosts = new Map<string, SimHost>();
  /** Broken promises, in words. */
  readonly violations: string[] = [];
  readonly store = new MemoryKeyValue();
  readonly world: World;
  readonly skill: number;
  /** What it takes a machine to fetch, compile and load an actor, at least. */
  loadMs = 20;
  /** So many that each host that joins is worth a stage; before the first one joins. */
  sessionsLeast = 16;
  #connections = 0;
  readonly #gone = new Set<string>();

  constructor(world: World, skill: number) {
    this.world = world;
    this.skill = skill;
  }

  /** Faults between machines; `rest` as the world takes them. */
  applyFaults(rest: World["faults"] = {}): void {
    const hostOf = (connection: string) => this.hosts.get(connection.split("/")[0] ?? "");
    this.world.faults = {
      ...rest,
      cut: (from, to) => {
        if (this.#gone.has(from) || this.#gone.has(to)) return true;
        const [a, b] = [hostOf(from), hostOf(to)];
        // Everything goes through the server, also between processes of one machine.
        return a?.cut === true || b?.cut === true || a?.dead === true || a?.paused === true;
      },
      enter: (to, run) => {
        if (this.#gone.has(to)) return;
        const host = hostOf(to);
        if (host === undefined) run();
        else host.run(run);
      },
    };
  }

  connect(host: string, what: string): { transport: Transport; end: () => void } {
    const connection = `${host}/${what}/${this.#connections++}`;
    const transport = this.world.mesh.connect(connection);
    return { transport, end: () => void this.#gone.add(connection) };
  }

  clockOf(host: SimHost): Clock {
    const { clock } = this.world;
    return { now: () => clock.now(), setTimer: (ms, run) => clock.setTimer(ms, () => host.run(run)) };
  }

  async startHost(name: string, facts: Partial<HostRecord> = {}): Promise<SimHost> {
    const host = new SimHost(name);
    this.hosts.set(name, host);
    const clock = this.clockOf(host);
    const link = {
      mesh: MESH,
      transport: this.connect(name, "agent").transport,
      store: new SimKeyValue(this, host),
      clock,
      log: this.world.log,
    };
    const all = { pid: 1, version: "toy", protocol: PROTOCOL, slots: 1, control: false, sharesCores: false };
    host.agent = new HostAgent(link, {
      name,
      mesh: { ...TOY_RECORD, sessionsLeast: this.sessionsLeast },
      launcher: new SimLauncher(this, host, clock),
      facts: () => ({ ...all, memoryBytes: 2 ** 40, labels: {}, rttMs: 0.1, ...facts }),
    });
    for (;;) {
      try {
        await host.agent.join();
        return host;
      } catch {
        // The store did not answer: a person would try again, too.
      }
    }
  }
}

/** The store as one machine reaches it: late, sometimes without an answer, or not at all. */
class SimKeyValue implements KeyValue {
  readonly #mesh: SimMesh;
  readonly #host: SimHost;

  constructor(mesh: SimMesh, host: SimHost) {
    this.#mesh = mesh;
    this.#host = host;
  }

  get(key: string): Promise<KeyEntry | undefined> {
    return this.#call(() => this.#mesh.store.get(key));
  }

  create(key: string, value: Uint8Array): Promise<number> {
    return this.#call(() => this.#mesh.store.create(key, value));
  }

  update(key: string, value: Uint8Array, revision: number): Promise<number> {
    return this.#call(() => this.#mesh.store.update(key, value, revision));
  }

  remove(key: string, revision: number): Promise<void> {
    return this.#call(async () => {
      await this.#mesh.store.remove(key, revision);
      for (const host of this.#mesh.hosts.values()) {
        if (key !== KEYS.host(host.name) || host === this.#host) continue;
        if (host.dead || host.paused || host.units.size === 0) continue;
        this.#mesh.violations.push(`${host.name} runs ${host.units.size} actors without a lease`);
      }
    });
  }

  #call<Result>(act: () => Promise<Result>): Promise<Result> {
    const { world } = this.#mesh;
    const host = this.#host;
    const clock = this.#mesh.clockOf(host);
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    clock.setTimer(STORE_TIMEOUT_MS, () => reject(new Error("no answer from the store")));
    const lostOnTheWay = () => host.cut || host.dead || world.random() < 0.01;
    world.clock.setTimer(world.random() * 4, () => {
      if (lostOnTheWay()) return;
      const answer = (give: () => void) =>
        world.clock.setTimer(world.random() * 4, () => {
          if (!lostOnTheWay()) host.run(give);
        });
      act().then(
        (result) => void answer(() => resolve(result)),
        (error: unknown) => void answer(() => reject(error)),
      );
    });
    return promise;
  }
}

class SimLauncher implements UnitLauncher {
  readonly #mesh: SimMesh;
  readonly #host: SimHost;
  readonly #clock: Clock;

  constructor(mesh: SimMesh, host: SimHost, clock: Clock) {
    this.#mesh = mesh;
    this.#host = host;
    this.#clock = clock;
  }

  async start(unit: UnitSpec): Promise<RunningUnit> {
    await new Promise<void>(
      (resolve) => void this.#clock.setTimer(this.#mesh.loadMs + this.#mesh.world.random() * 200, resolve),
    );
    return new SimUnit(this.#mesh, this.#host, this.#clock, unit);
  }
}

/** One supervised process. */
export class SimUnit implements RunningUnit {
  readonly pid = 1;
  readonly gaveUp: Promise<string>;
  /** The process can't be kept running: its supervisor has ended it, and says why. */
  readonly giveUp: (reason: string) => void;
  readonly unit: UnitSpec;
  readonly #mesh: SimMesh;
  readonly #host: SimHost;
  readonly #clock: Clock;
  #place: UnitPlace | undefined;
  #ref: ActorRef | undefined;
  #end = () => {};
  #queue: Promise<void> = Promise.resolve();
  #killed = false;

  constructor(mesh: SimMesh, host: SimHost, clock: Clock, unit: UnitSpec) {
    this.#mesh = mesh;
    this.#host = host;
    this.#clock = clock;
    this.unit = unit;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.gaveUp = promise;
    this.giveUp = (reason) => {
      this.kill();
      resolve(reason);
    };
    host.units.add(this);
    if (unit.role === "tree") this.#queue = this.#spawn();
  }

  enter(place: UnitPlace): void {
    this.#place = place;
    // The tree host hears of placements itself.
    if (this.unit.role === "tree") return;
    this.#queue = this.#queue.then(() => this.#respawn());
  }

  /** The process dies, and is started again with nothing in its memory. */
  crash(): void {
    this.#end();
    void this.#ref?.stop();
    this.#ref = undefined;
    this.#clock.setTimer(50, () => {
      this.#queue = this.#queue.then(() => this.#respawn());
    });
  }

  async stop(): Promise<void> {
    this.#host.units.delete(this);
    this.#killed = true;
    await this.#queue;
    await this.#ref?.stop();
    this.#end();
  }

  kill(): void {
    this.#host.units.delete(this);
    this.#killed = true;
    this.#end();
    void this.#ref?.stop();
  }

  async #respawn(): Promise<void> {
    await this.#ref?.stop();
    await this.#spawn();
  }

  async #spawn(): Promise<void> {
    if (this.#killed || this.#host.dead) return;
    const { transport, end } = this.#mesh.connect(this.#host.name, this.unit.role);
    this.#end = end;
    const { log } = this.#mesh.world;
    this.#ref = await spawn(this.#definition(), { transport, clock: this.#clock, log });
  }

  #definition(): ActorDefinition {
    const { unit } = this;
    const place = this.#place;
    if (unit.role === "tree") {
      const nowhere = { epoch: epoch(0), stageCount: 0, hasDrafter: false, costs: [[{ nodes: 1, ms: 1 }]] };
      return treeHostActor({
        mesh: MESH,
        host: this.#host.name,
        ...(place === undefined ? nowhere : treePlace(epoch(place.epoch), place.plan)),
        chunkNodes: 8,
        contextLength: 256,
        defaultPolicy: "fullflow",
        makePolicy: createPolicy,
      });
    }
    const own = epoch(place?.epoch ?? 0);
    if (unit.role === "drafter") {
      const engine = new ToyDraftEngine(this.#mesh.skill, this.#mesh.world.random);
      return drafterActor({ mesh: MESH, epoch: own, engine });
    }
    const { firstLayer, endLayer, layerCount } = unit;
    const stageCount = place?.plan.stages.length ?? 1;
    const taps = TOY.taps.filter((layer) => layer > firstLayer && layer <= endLayer);
    const layers = { firstLayer, endLayer, layerCount, taps, numerics: "fast" } as const;
    const spec = { ...layers, index: place?.index ?? 0, stageCount };
    const engine = new LocalStageEngine(new ToyMath(spec), 1e9);
    return stageActor({ mesh: MESH, epoch: own, spec, hidden: 1, engine, dtype: "f32" });
  }
}
