import type { ActorRecord, PlacementRecord } from "../mesh/records.ts";
import { describeError } from "./expected-error.ts";
import {
  type RunningUnit,
  type UnitLauncher,
  type UnitPlace,
  type UnitSpec,
  unitKey,
  unitsOf,
} from "./unit.ts";

interface Entry {
  readonly unit: UnitSpec;
  name: string;
  readonly abort: AbortController;
  running: RunningUnit | undefined;
  epoch: number | undefined;
}

export interface UnitSetOptions {
  readonly host: string;
  readonly launcher: UnitLauncher;
  /** Something about the units has changed. */
  readonly onChange: () => void;
  /** A unit can't run here. */
  readonly onFailure: (unit: UnitSpec, name: string, reason: string) => void;
}

/** Brings the units of one host into line with the placement: loads what it will need, and drops what it will not. */
export class UnitSet {
  readonly #options: UnitSetOptions;
  readonly #entries = new Map<string, Entry>();
  #placement: PlacementRecord | undefined;
  /** Stages measure themselves when they start, so they start one after the other. */
  #stageQueue: Promise<void> = Promise.resolve();

  constructor(options: UnitSetOptions) {
    this.#options = options;
  }

  follow(placement: PlacementRecord): void {
    this.#placement = placement;
    const { host } = this.#options;
    const { plan, next, epoch } = placement;
    const present = plan === undefined ? [] : unitsOf(plan, host);
    const future = next === undefined ? [] : unitsOf(next.plan, host);
    const wanted = new Map([...future, ...present].map((placed) => [unitKey(placed.unit), placed]));
    for (const [key, entry] of this.#entries) {
      if (wanted.has(key)) continue;
      this.#entries.delete(key);
      this.#end(entry);
    }
    for (const [key, { unit, name }] of wanted) if (!this.#entries.has(key)) this.#begin(key, unit, name);
    for (const { unit, name, index } of present) {
      const entry = this.#entries.get(unitKey(unit));
      if (plan === undefined || entry?.running === undefined || entry.epoch === epoch) continue;
      entry.name = name;
      this.#enter(entry, entry.running, { epoch, index, plan });
    }
    this.#options.onChange();
  }

  /** Plans for which everything is ready here. */
  get prepared(): string[] {
    const next = this.#placement?.next;
    if (next === undefined) return [];
    const units = unitsOf(next.plan, this.#options.host);
    return units.every(({ unit }) => this.#entries.get(unitKey(unit))?.running !== undefined)
      ? [next.id]
      : [];
  }

  /** True while the plan in force gives this host something to run. */
  get inUse(): boolean {
    const plan = this.#placement?.plan;
    return plan !== undefined && unitsOf(plan, this.#options.host).length > 0;
  }

  /** True when nobody could take over what this host runs. */
  get irreplaceable(): boolean {
    return this.#placement?.short !== undefined;
  }

  get records(): ActorRecord[] {
    return [...this.#entries.values()].map(({ unit, name, running, epoch }) => ({
      role: unit.role,
      name,
      pid: running?.pid ?? 0,
      ...(epoch !== undefined && { epoch }),
      ...(unit.role === "stage" && { layers: [unit.firstLayer, unit.endLayer] as [number, number] }),
      ...(running?.facts && { ...running.facts, costs: [...running.facts.costs] }),
      state: running?.pid === undefined ? "starting" : epoch === undefined ? "ready" : "active",
    }));
  }

  /** Ends everything at once: this host may not run it any longer. */
  kill(): void {
    for (const entry of this.#entries.values()) {
      entry.abort.abort();
      entry.running?.kill();
      this.#end(entry);
    }
    this.#entries.clear();
    this.#placement = undefined;
  }

  async stop(): Promise<void> {
    this.#placement = undefined;
    // Each is listed until it has stopped: `kill` may have to come in between.
    for (const [key, entry] of [...this.#entries].toReversed()) {
      entry.abort.abort();
      await entry.running?.stop();
      this.#entries.delete(key);
    }
  }

  #begin(key: string, unit: UnitSpec, name: string): void {
    const entry: Entry = { unit, name, abort: new AbortController(), running: undefined, epoch: undefined };
    this.#entries.set(key, entry);
    const start = () => this.#start(key, entry);
    if (unit.role === "stage") this.#stageQueue = this.#stageQueue.then(start);
    else void start();
  }

  async #start(key: string, entry: Entry): Promise<void> {
    const { launcher, onFailure } = this.#options;
    const { signal } = entry.abort;
    if (signal.aborted) return;
    try {
      const running = await launcher.start(entry.unit, entry.name, signal);
      if (signal.aborted) {
        await running.stop();
        return;
      }
      entry.running = running;
      void running.gaveUp.then((reason) => this.#lost(key, entry, reason));
      if (this.#placement !== undefined) this.follow(this.#placement);
    } catch (error) {
      if (signal.aborted) return;
      this.#entries.delete(key);
      onFailure(entry.unit, entry.name, describeError(error));
    }
  }

  #lost(key: string, entry: Entry, reason: string): void {
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    this.#options.onFailure(entry.unit, entry.name, reason);
  }

  #enter(entry: Entry, running: RunningUnit, place: UnitPlace): void {
    entry.epoch = place.epoch;
    running.enter(place);
  }

  #end(entry: Entry): void {
    entry.abort.abort();
    entry.running?.stop().catch(() => {});
  }
}
