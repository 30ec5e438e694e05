import { randomUUID } from "node:crypto";
import { RevisionConflictError } from "../../transport/errors.ts";
import { eventSubject, hostSubject } from "../../transport/subjects.ts";
import type { Message, Subscription } from "../../transport/transport.ts";
import { Coordinator } from "../mesh/coordinator.ts";
import { type MeshLink, repeat } from "../mesh/mesh-link.ts";
import {
  type ActorRecord,
  DEAD_MS,
  type HostRecord,
  hostSchema,
  KEYS,
  LEASE_MS,
  type MeshRecord,
  placementSchema,
  RENEW_EVERY_MS,
} from "../mesh/records.ts";
import { dropMalformed, encodeJson, parseJson } from "../messages.ts";
import { sleep } from "../runtime/clock.ts";
import type { UnitLauncher, UnitSpec } from "./unit.ts";
import { UnitFailures } from "./unit-failures.ts";
import { UnitSet } from "./unit-set.ts";

/** What a host says of itself; asked for at each renewal, since some of it is measured. */
export type HostFacts = Omit<HostRecord, "name" | "instance" | "draining" | "prepared" | "failed" | "actors">;

export interface HostAgentOptions {
  readonly name: string;
  readonly mesh: MeshRecord;
  readonly launcher: UnitLauncher;
  readonly facts: () => HostFacts;
  /** Actors of this host that no placement decides on. */
  readonly otherActors?: () => readonly ActorRecord[];
  /** An actor that was placed here can't run here. */
  readonly onFailure?: (name: string, reason: string) => void;
}

/** Another host of the same name is in the mesh. */
export class HostNameError extends Error {
  override readonly name = "HostNameError";
}

const RETRY_MS = 200;
/** How long a leaving host waits for others to take over. */
const DRAIN_MS = 60_000;

/**
 * One machine's part in the mesh: it holds a lease by renewing its record each second, runs what the
 * placement gives it, and may be the one that decides on the placement. When the lease is lost – the
 * coordinator has removed the record, or could not be reached for too long – it ends all that it runs at
 * once, and joins as if it were new.
 */
export class HostAgent {
  readonly #link: MeshLink;
  readonly #options: HostAgentOptions;
  readonly #units: UnitSet;
  readonly #failures: UnitFailures;
  #instance: string = randomUUID();
  /** Under which it lost its lease: that record may be replaced at once, since nothing of it runs any more. */
  #formerInstance: string | undefined;
  #revision: number | undefined;
  #leaseUntilMs = 0;
  #draining = false;
  #stopping = false;
  #version = 0;
  #coordinator: Coordinator | undefined;
  #subscriptions: Subscription[] = [];
  #stopRepeating: (() => void)[] = [];
  #renewing: Promise<void> | undefined;
  #rejoining: Promise<void> | undefined;
  #renewAgain = false;
  #ended = Promise.withResolvers<void>();

  constructor(link: MeshLink, options: HostAgentOptions) {
    this.#link = link;
    this.#options = options;
    this.#failures = new UnitFailures(link.clock);
    this.#units = new UnitSet({
      host: options.name,
      launcher: options.launcher,
      onChange: () => this.#soon(),
      onFailure: (unit, name, reason) => this.#failure(unit, name, reason),
    });
  }

  /** True while this host holds its lease. */
  get isIn(): boolean {
    return this.#revision !== undefined && this.#link.clock.now() < this.#leaseUntilMs;
  }

  get leads(): boolean {
    return this.#coordinator?.leads === true;
  }

  /** Resolves when the host was asked by others to leave, and has left. */
  get left(): Promise<void> {
    return this.#ended.promise;
  }

  get actors(): readonly ActorRecord[] {
    return [...this.#units.records, ...(this.#options.otherActors?.() ?? [])];
  }

  /** Rejects with HostNameError when a living host has the name. */
  async join(): Promise<void> {
    const { clock, transport, mesh } = this.#link;
    await this.#enrol();
    const { name } = this.#options;
    this.#subscriptions = [
      transport.subscribe(eventSubject(mesh, "placement"), (message) => this.#placed(message)),
      transport.subscribe(hostSubject(mesh, name, "drain"), (message) => this.#asked(message)),
    ];
    this.#stopRepeating = [
      repeat(clock, RENEW_EVERY_MS, () => this.#renew()),
      repeat(clock, RENEW_EVERY_MS / 4, () => this.#checkLease()),
    ];
    this.#coordinator = new Coordinator(
      this.#link,
      { host: name, instance: this.#instance },
      this.#options.mesh,
    );
    // If it can't be read now: the leading coordinator tells it each second.
    await this.#readPlacement().catch((error: unknown) =>
      this.#link.log.write("debug", "the placement can't be read", { error }),
    );
  }

  /** Leaves politely: others take over first, as far as there are others. */
  async drain(deadlineMs = DRAIN_MS): Promise<void> {
    const { clock, log } = this.#link;
    this.#draining = true;
    this.#soon();
    const untilMs = clock.now() + deadlineMs;
    while (this.#units.inUse && !this.#units.irreplaceable && clock.now() < untilMs) {
      await sleep(clock, 100);
    }
    if (this.#units.inUse)
      log.write("warn", "leaves although nobody has taken over", { host: this.#options.name });
    await this.stop();
    this.#ended.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
    await this.#coordinator?.stop();
    // The lease is renewed, and obeyed, for as long as anything runs here.
    await this.#units.stop();
    for (const stop of this.#stopRepeating.splice(0)) stop();
    await Promise.all([this.#renewing, this.#rejoining]);
    const revision = this.#revision;
    this.#revision = undefined;
    if (revision === undefined) return;
    await this.#link.store.remove(KEYS.host(this.#options.name), revision).catch(() => {});
  }

  /** Ends what it runs at once, and says nothing. */
  kill(): void {
    for (const stop of this.#stopRepeating.splice(0)) stop();
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
    this.#units.kill();
  }

  #record(): HostRecord {
    const { name, facts } = this.#options;
    return {
      ...facts(),
      name,
      instance: this.#instance,
      draining: this.#draining,
      prepared: this.#units.prepared,
      failed: this.#failures.present,
      actors: [...this.actors],
    };
  }

  /** Makes the record, or takes over one that nobody renews. */
  async #enrol(): Promise<void> {
    const { store, clock } = this.#link;
    const key = KEYS.host(this.#options.name);
    let seen: number | undefined;
    for (;;) {
      const begunMs = clock.now();
      try {
        const value = encodeJson(this.#record());
        this.#revision =
          seen === undefined ? await store.create(key, value) : await store.update(key, value, seen);
        this.#leaseUntilMs = begunMs + LEASE_MS;
        return;
      } catch (error) {
        if (!(error instanceof RevisionConflictError)) throw error;
        const entry = await store.get(key);
        if (
          seen !== undefined &&
          entry !== undefined &&
          entry.revision !== seen &&
          !this.#isOwn(entry.value)
        ) {
          throw this.#nameTaken(entry.value);
        }
        seen = entry?.revision;
        if (entry !== undefined && this.#isOwn(entry.value)) continue;
        if (seen !== undefined) await sleep(clock, DEAD_MS);
      }
    }
  }

  /** Of this process, under its present or its former lease. */
  #isOwn(value: Uint8Array): boolean {
    const { instance } = parseJson(hostSchema, { subject: "host", body: value });
    return instance === this.#formerInstance || instance === this.#instance;
  }

  #nameTaken(value: Uint8Array): HostNameError {
    const { name } = this.#options;
    const other = parseJson(hostSchema, { subject: KEYS.host(name), body: value });
    return new HostNameError(
      `a host named "${name}" is in mesh "${this.#link.mesh}" already (process ${other.pid}). ` +
        "Give this one another name with --name.",
    );
  }

  /** Renews the record now, or as soon as the renewal under way is over. */
  #soon(): void {
    if (this.#revision === undefined || this.#stopRepeating.length === 0) return;
    if (this.#renewing === undefined) void this.#renew();
    else this.#renewAgain = true;
  }

  async #renew(): Promise<void> {
    if (this.#renewing !== undefined) return this.#renewing;
    this.#renewing = this.#renewOnce();
    await this.#renewing;
    this.#renewing = undefined;
    if (!this.#renewAgain) return;
    this.#renewAgain = false;
    this.#soon();
  }

  async #renewOnce(): Promise<void> {
    const { store, clock, log, transport, mesh } = this.#link;
    const revision = this.#revision;
    if (revision === undefined) return;
    const begunMs = clock.now();
    const record = this.#record();
    try {
      const renewed = await store.update(KEYS.host(this.#options.name), encodeJson(record), revision);
      if (this.#revision !== revision) return;
      this.#revision = renewed;
      this.#leaseUntilMs = begunMs + LEASE_MS;
      if (transport.status === "connected") {
        transport.publish(eventSubject(mesh, "host"), encodeJson({ revision: renewed, record }));
      }
    } catch (error) {
      if (error instanceof RevisionConflictError) await this.#reconcile(revision);
      else {
        log.write("debug", "the lease can't be renewed", { error });
        // Sooner than the next turn: there is time for several tries before the lease is over.
        clock.setTimer(RETRY_MS, () => this.#soon());
      }
    }
  }

  /** Somebody changed the record: perhaps this host itself, by a renewal whose answer was lost. */
  async #reconcile(revision: number): Promise<void> {
    const { store } = this.#link;
    const key = KEYS.host(this.#options.name);
    const entry = await store.get(key).catch(() => undefined);
    if (this.#revision !== revision) return;
    if (entry !== undefined) {
      const { instance } = parseJson(hostSchema, { subject: key, body: entry.value });
      if (instance === this.#instance) {
        this.#revision = entry.revision;
        return;
      }
    }
    this.#fence("the mesh has given it up");
  }

  #checkLease(): void {
    if (this.#revision === undefined || this.#link.clock.now() < this.#leaseUntilMs) return;
    this.#fence("its lease could not be renewed in time");
  }

  #fence(why: string): void {
    const { log } = this.#link;
    log.write("warn", "ends what it runs and joins anew", { host: this.#options.name, why });
    this.#revision = undefined;
    this.#version = 0;
    this.#units.kill();
    this.#formerInstance = this.#instance;
    this.#instance = randomUUID();
    this.#rejoining = this.#rejoin();
  }

  async #rejoin(): Promise<void> {
    const { log, clock } = this.#link;
    if (this.#stopping || this.#stopRepeating.length === 0) return;
    try {
      if (this.#revision === undefined) await this.#enrol();
      await this.#readPlacement();
    } catch (error) {
      log.write("warn", "can't join again yet", { host: this.#options.name, error });
      clock.setTimer(RENEW_EVERY_MS, () => {
        this.#rejoining = this.#rejoin();
      });
    }
  }

  async #readPlacement(): Promise<void> {
    const entry = await this.#link.store.get(KEYS.placement);
    if (entry !== undefined) this.#placed({ subject: KEYS.placement, body: entry.value });
    this.#soon();
  }

  #placed(message: Pick<Message, "subject" | "body">): void {
    try {
      const placement = parseJson(placementSchema, message);
      if (this.#stopping || this.#revision === undefined || placement.version <= this.#version) return;
      this.#version = placement.version;
      this.#units.follow(placement);
    } catch (error) {
      dropMalformed(this.#link.log, error);
    }
  }

  #failure({ role }: UnitSpec, name: string, reason: string): void {
    this.#link.log.write("error", "can't run here", { actor: name, reason });
    this.#failures.add({ role, reason: `${name}: ${reason}` });
    this.#options.onFailure?.(name, reason);
    this.#soon();
  }

  #asked(message: Message): void {
    message.respond(encodeJson({ draining: true }));
    if (!this.#draining) void this.drain();
  }
}
