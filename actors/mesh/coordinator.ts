import { POLICIES } from "../../decoding/policies/registry.ts";
import { RevisionConflictError } from "../../transport/errors.ts";
import type { KeyEntry } from "../../transport/key-value.ts";
import { eventSubject } from "../../transport/subjects.ts";
import type { Message, Subscription } from "../../transport/transport.ts";
import { dropMalformed, encodeJson, type PipelineMessage, parseJson } from "../messages.ts";
import { type PlanArithmetic, planArithmetic } from "./arithmetic.ts";
import { type Demand, demandSchema, SeenDemand } from "./demand.ts";
import { Leadership } from "./leadership.ts";
import { type MeshLink, repeat } from "./mesh-link.ts";
import { mayDraft, mayRun, Planner, planTokenMs } from "./plan-mesh.ts";
import {
  DEAD_MS,
  type HostRecord,
  hostEventSchema,
  hostSchema,
  KEYS,
  type MeshRecord,
  NO_PLACEMENT,
  type PlacementRecord,
  type Plan,
  placementSchema,
} from "./records.ts";

interface KnownHost {
  readonly record: HostRecord;
  readonly revision: number;
  readonly heardAtMs: number;
}

const LEAD_EVERY_MS = 250;
const TELL_EVERY_MS = 1000;
/** A plan must be faster than the present one by this factor, and for this long, to be worth a move. */
const WORTH_MOVING = 1.25;
const LASTING_MS = 10_000;
/** After a move nothing is moved again for mere speed. */
const SETTLE_MS = 30_000;
/** An actor that is away for less is being restarted: requests are taken, and wait for it. */
const RESTART_GRACE_MS = 10_000;

/**
 * Decides which host runs what. Each host has one, and the elected one leads: it hears the hosts' records,
 * removes those of dead hosts (which fences them), has a new plan prepared, and raises the epoch when all
 * its hosts are ready. What it decides is in the placement record, changed by compare-and-set only, so a
 * leader that does not know yet that it was followed can't decide anything.
 */
export class Coordinator {
  readonly #link: MeshLink;
  readonly #mesh: MeshRecord;
  readonly #leadership: Leadership;
  readonly #planner: Planner;
  readonly #demand: SeenDemand;
  readonly #hosts = new Map<string, KnownHost>();
  /** Dead, and without a record. */
  readonly #buried = new Set<string>();
  readonly #subscriptions: Subscription[];
  readonly #stopRepeating: () => void;
  #placement: PlacementRecord = NO_PLACEMENT;
  #revision: number | undefined;
  /** Until then nobody is declared dead: who leads newly, or was cut off, has not heard all hosts yet. */
  #trustFromMs = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  /** Hosts that were there when the newest plan was made. */
  #considered = new Set<string>();
  #betterSinceMs: number | undefined;
  #movedAtMs = Number.NEGATIVE_INFINITY;
  #absentSinceMs: number | undefined;

  constructor(link: MeshLink, who: { host: string; instance: string }, mesh: MeshRecord) {
    this.#link = link;
    this.#mesh = mesh;
    this.#planner = new Planner(mesh);
    this.#demand = new SeenDemand({
      policy: mesh.policy,
      drafts: mesh.model.drafter !== undefined,
      sessionsLeast: mesh.sessionsLeast,
    });
    this.#leadership = new Leadership(link, who, (leads) => this.#changed(leads));
    this.#subscriptions = [
      link.transport.subscribe(eventSubject(link.mesh, "host"), (message) => this.#hear(message)),
      link.transport.subscribe(eventSubject(link.mesh, "demand"), (message) => this.#hearDemand(message)),
      link.transport.onStatus((status) => status === "connected" && this.#distrust()),
    ];
    this.#stopRepeating = repeat(link.clock, LEAD_EVERY_MS, () => this.#lead());
  }

  get leads(): boolean {
    return this.#leadership.leads;
  }

  async stop(): Promise<void> {
    this.#stopRepeating();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    await this.#leadership.stop();
  }

  #changed(leads: boolean): void {
    this.#link.log.write("info", leads ? "leads the mesh" : "leads the mesh no longer");
    this.#revision = undefined;
    this.#placement = NO_PLACEMENT;
    this.#buried.clear();
    if (leads) this.#distrust();
  }

  #distrust(): void {
    this.#trustFromMs = this.#link.clock.now() + DEAD_MS;
  }

  #hear(message: Message): void {
    try {
      const { record, revision } = parseJson(hostEventSchema, message);
      const known = this.#hosts.get(record.name);
      // A message of a former instance may come late.
      if (known !== undefined && known.revision > revision) return;
      this.#hosts.set(record.name, { record, revision, heardAtMs: this.#link.clock.now() });
      this.#buried.delete(record.name);
    } catch (error) {
      dropMalformed(this.#link.log, error);
    }
  }

  #hearDemand(message: Message): void {
    try {
      this.#demand.hear(parseJson(demandSchema, message), this.#link.clock.now());
    } catch (error) {
      dropMalformed(this.#link.log, error);
    }
  }

  async #lead(): Promise<void> {
    if (!this.leads) return;
    try {
      if (this.#revision === undefined) await this.#read();
      await this.#bury();
      if (this.leads) await this.#decide();
      this.#tell();
    } catch (error) {
      if (error instanceof RevisionConflictError) this.#revision = undefined;
      else this.#link.log.write("debug", "the placement can't be reached", { error });
    }
  }

  async #read(): Promise<void> {
    const { store } = this.#link;
    const entry = await store.get(KEYS.placement);
    if (entry === undefined) {
      this.#revision = await store.create(KEYS.placement, encodeJson(NO_PLACEMENT));
      this.#placement = NO_PLACEMENT;
      return;
    }
    this.#placement = parseJson(placementSchema, { subject: KEYS.placement, body: entry.value });
    this.#revision = entry.revision;
  }

  /**
   * Removes the records of hosts that are silent, if they have not renewed them either. One that comes back
   * finds its lease gone.
   */
  async #bury(): Promise<void> {
    for (const name of this.#placed()) {
      if (!this.#hosts.has(name) && !this.#buried.has(name)) await this.#lookUp(name);
    }
    const nowMs = this.#link.clock.now();
    if (nowMs < this.#trustFromMs) return;
    for (const [name, known] of this.#hosts) {
      if (nowMs - known.heardAtMs < DEAD_MS) continue;
      const { store, log } = this.#link;
      const entry = await store.get(KEYS.host(name));
      if (entry !== undefined && entry.revision !== known.revision) {
        this.#learn(name, entry);
        continue;
      }
      // A renewal between these two calls wins: then the host lives, and will be heard.
      if (entry !== undefined) await store.remove(KEYS.host(name), entry.revision);
      log.write("warn", "a host is gone", { host: name, silentMs: Math.round(nowMs - known.heardAtMs) });
      this.#hosts.delete(name);
      this.#buried.add(name);
    }
  }

  /** A placed host that this coordinator has not heard: from now on it has the time of a lease. */
  async #lookUp(name: string): Promise<void> {
    const entry = await this.#link.store.get(KEYS.host(name));
    if (entry === undefined) this.#buried.add(name);
    else if (!this.#hosts.has(name)) this.#learn(name, entry);
  }

  #learn(name: string, { value, revision }: KeyEntry): void {
    const record = parseJson(hostSchema, { subject: KEYS.host(name), body: value });
    this.#hosts.set(name, { record, revision, heardAtMs: this.#link.clock.now() });
  }

  #placed(): Set<string> {
    const { plan, next } = this.#placement;
    return new Set([...hostsOf(plan), ...hostsOf(next?.plan)]);
  }

  async #decide(): Promise<void> {
    const nowMs = this.#link.clock.now();
    if (nowMs < this.#trustFromMs && this.#placement.epoch > 0) return;
    const { next, plan } = this.#placement;
    const usable = this.#usable(plan);
    // A plan that is being prepared is waited for, also when nothing is in force: where measurements change
    // from second to second, and with them the best plan, none would ever be ready.
    if (next !== undefined && this.#usable(next.plan)) {
      if (this.#isPrepared(next)) await this.#raise(next.plan);
      return;
    }
    await this.#plan(usable);
  }

  async #plan(usable: boolean): Promise<void> {
    const { next, short } = this.#placement;
    const hosts = this.#willing();
    const nowMs = this.#link.clock.now();
    const demand = this.#demand.at(nowMs);
    const result = this.#planner.plan(hosts, demand, nowMs);
    const { next: _, short: __, ...kept } = this.#placement;
    if ("short" in result) {
      const told: PlacementRecord = usable ? kept : { ...kept, short: result.short };
      if (next !== undefined || told.short !== short) await this.#write(told);
      return;
    }
    if (usable && !this.#isBetter(result, hosts, demand)) {
      if (short !== undefined || next !== undefined) await this.#write(kept);
      return;
    }
    const id = `${this.#placement.epoch + 1}-${this.#placement.version + 1}`;
    await this.#write({ ...kept, next: { id, plan: result.plan } });
    this.#considered = new Set(hosts.map(({ name }) => name));
  }

  /** Every host of it lives, wants to be used, and has not failed at it. */
  #usable(plan: Plan | undefined): boolean {
    if (plan === undefined) return false;
    const willing = new Map(this.#willing().map((host) => [host.name, host]));
    const drafter = plan.drafter === undefined ? undefined : willing.get(plan.drafter);
    return hostsOf(plan).every((name) => willing.has(name)) && (drafter === undefined || mayDraft(drafter));
  }

  #willing(): HostRecord[] {
    const hosts = [...this.#hosts.values()].map(({ record }) => record);
    return hosts
      .filter((host) => !host.draining && mayRun(host))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  #isPrepared({ id, plan }: { readonly id: string; readonly plan: Plan }): boolean {
    return hostsOf(plan).every((name) => this.#hosts.get(name)?.record.prepared.includes(id) === true);
  }

  /** Lastingly better by far, or at last with a drafter: a move costs each session a prefill. */
  #isBetter(found: { plan: Plan; tokenMs: number }, hosts: readonly HostRecord[], demand: Demand): boolean {
    const { plan } = this.#placement;
    const nowMs = this.#link.clock.now();
    const better =
      plan !== undefined &&
      !samePlan(plan, found.plan) &&
      ((plan.drafter === undefined && found.plan.drafter !== undefined) ||
        planTokenMs(this.#mesh, plan, hosts, demand) > found.tokenMs * WORTH_MOVING);
    if (!better) {
      this.#betterSinceMs = undefined;
      return false;
    }
    this.#betterSinceMs ??= nowMs;
    const joined = hosts.some(({ name, slots }) => slots > 0 && !this.#considered.has(name));
    const lasting = nowMs - this.#betterSinceMs >= LASTING_MS && nowMs - this.#movedAtMs >= SETTLE_MS;
    return joined || lasting;
  }

  async #raise(plan: Plan): Promise<void> {
    const measured: Plan = {
      ...plan,
      stages: plan.stages.map((stage) => {
        const costs = this.#stageActor(stage)?.costs;
        return costs === undefined ? stage : { ...stage, costs };
      }),
    };
    const { version, epoch } = this.#placement;
    await this.#write({ version, epoch: epoch + 1, plan: measured });
    this.#betterSinceMs = undefined;
    this.#movedAtMs = this.#link.clock.now();
    const layers = plan.stages.map(
      ({ host, firstLayer, endLayer }) => `${host}:${firstLayer}-${endLayer - 1}`,
    );
    this.#link.log.write("info", "a new placement is in force", {
      epoch: epoch + 1,
      layers: layers.join(" "),
    });
    const arithmetic = this.#arithmetic(plan);
    if (arithmetic?.isMixed) {
      this.#link.log.write("warn", "stages run on unlike processors: other placements may flip a near-tie", {
        arithmetic: arithmetic.name,
      });
    }
  }

  #stageActor({ host, firstLayer, endLayer }: Plan["stages"][number]) {
    const actors = this.#hosts.get(host)?.record.actors ?? [];
    return actors.find(({ layers }) => layers?.[0] === firstLayer && layers[1] === endLayer);
  }

  /** What the stage with the least room has; undefined while one of them has not told. */
  #kvTokens(plan: Plan): number | undefined {
    let least = Number.POSITIVE_INFINITY;
    for (const stage of plan.stages) {
      least = Math.min(least, this.#stageActor(stage)?.kvTokens ?? Number.NaN);
    }
    return Number.isFinite(least) ? least : undefined;
  }

  #arithmetic(plan: Plan): PlanArithmetic | undefined {
    return planArithmetic(plan.stages, (stage) => this.#stageActor(stage)?.arithmetic);
  }

  async #write(placement: PlacementRecord): Promise<void> {
    if (this.#revision === undefined || !this.leads) return;
    const record = { ...placement, version: this.#placement.version + 1 };
    this.#revision = await this.#link.store.update(KEYS.placement, encodeJson(record), this.#revision);
    this.#placement = record;
    this.#toldAtMs = Number.NEGATIVE_INFINITY;
  }

  #tell(): void {
    const { clock, transport, mesh } = this.#link;
    const nowMs = clock.now();
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS || !this.leads || this.#revision === undefined) return;
    this.#toldAtMs = nowMs;
    transport.publish(eventSubject(mesh, "placement"), encodeJson(this.#placement));
    transport.publish(eventSubject(mesh, "pipeline"), encodeJson(this.#status(nowMs)));
  }

  #status(nowMs: number): PipelineMessage {
    const { model } = this.#mesh;
    const { epoch, plan, short } = this.#placement;
    const kvTokens = plan && this.#kvTokens(plan);
    const arithmetic = plan && this.#arithmetic(plan);
    const serves = {
      epoch,
      modelId: model.id,
      contextLength: model.contextLength,
      policies: [...POLICIES.keys()],
      stages: plan?.stages.length ?? 0,
      numerics: model.numerics,
      ...(kvTokens !== undefined && { kvTokens }),
      ...(arithmetic && { arithmetic: arithmetic.name }),
    };
    const absent = this.#absent();
    this.#absentSinceMs = absent === undefined ? undefined : (this.#absentSinceMs ?? nowMs);
    const soon = epoch > 0 && nowMs - (this.#absentSinceMs ?? nowMs) < RESTART_GRACE_MS;
    if (absent === undefined || soon) return { ...serves, ready: true };
    return { ...serves, ready: false, reason: short ?? absent };
  }

  /** What is not as the plan in force wants it; undefined when nothing is missing. */
  #absent(): string | undefined {
    const { plan, epoch, short } = this.#placement;
    if (short !== undefined) return short;
    if (plan === undefined) return "the model is being placed";
    for (const name of hostsOf(plan)) {
      const host = this.#hosts.get(name);
      if (host === undefined) return `host ${name} is gone; its part is being placed anew`;
      const waiting = host.record.actors.find(
        ({ epoch: own, state }) => state === "starting" && own === epoch,
      );
      if (waiting !== undefined) return `${waiting.name} is being started`;
    }
    return undefined;
  }
}

function hostsOf(plan: Plan | undefined): string[] {
  if (plan === undefined) return [];
  const { stages, drafter, tree } = plan;
  return [...new Set([...stages.map(({ host }) => host), tree, ...(drafter === undefined ? [] : [drafter])])];
}

const shape = ({ stages, drafter, tree }: Plan): string =>
  JSON.stringify([
    stages.map(({ host, firstLayer, endLayer }) => [host, firstLayer, endLayer]),
    drafter,
    tree,
  ]);
const samePlan = (a: Plan, b: Plan): boolean => shape(a) === shape(b);
