import { fits, type LayerRange, type PlanHost, type PlanModel, stageMs } from "./plan-parts.ts";
import type { LayerPin } from "./records.ts";

/** Up to so many ways to choose how many stages each host has, all are tried; with more, orders by speed. */
const EXACT_STATES_MAX = 256;

/** Times closer than this are the same: sums in another order. */
const SAME = 1e-9;

/** A host's range is put behind what `row` reached; without a host, `row` is taken over as it is. */
interface Step {
  readonly row: number;
  readonly host?: number;
  /** The host has no stage yet. */
  readonly enters: boolean;
}
/** Ways to come to a row; only rows before it are named. Row 0 is the pipeline without stages. */
type Rows = readonly (readonly Step[])[];

/**
 * Contiguous ranges, each within the bound, with the least sum of stage and hop times; undefined when there are
 * none. Of equal sums, one with few stages.
 *
 * Dynamic programming over (which stages are used, how many layers they hold): the least time of such a
 * part of a pipeline is that of one with a stage less, and a range behind it. Where hosts are so many that
 * all choices can't be tried, they are taken fastest first, each in turn as the last one, which alone has the LM head.
 */
export function cheapestRanges(
  model: PlanModel,
  hosts: readonly PlanHost[],
  pins: readonly LayerPin[],
  boundMs: number,
): LayerRange[] | undefined {
  const reach = hosts.map((host) => reachOf(host, { model, pins, boundMs }));
  const states = hosts.reduce((product, { slots }) => product * (slots + 1), 1);
  const graphs = states <= EXACT_STATES_MAX ? [choices(hosts, states)] : orders(hosts);
  let best: Found | undefined;
  for (const rows of graphs) {
    const found = cheapest(rows, { model, hosts, reach });
    if (found !== undefined && (best === undefined || found.ms < best.ms)) best = found;
  }
  return best?.ranges;
}

/** How far a range of a host may reach, by its first layer. */
interface Reach {
  /** Greatest end below the model's; the first layer itself when there is none. */
  readonly ends: Int32Array;
  /** Whether it may go to the model's end. */
  readonly last: readonly boolean[];
}

function reachOf(host: PlanHost, limits: Parameters<typeof fits>[0]): Reach {
  const { layers } = limits.model;
  const ends = new Int32Array(layers);
  const last: boolean[] = [];
  for (let from = 0; from < layers; from++) {
    let end = from;
    while (end + 1 < layers && fits(limits, host, from, end + 1)) end++;
    ends[from] = end;
    last.push(fits(limits, host, from, layers));
  }
  return { ends, last };
}

/** One row for each way to choose how many stages each host has: a number with a digit for each host. */
function choices(hosts: readonly PlanHost[], states: number): Rows {
  const strides: number[] = [];
  let stride = 1;
  for (const { slots } of hosts) {
    strides.push(stride);
    stride *= slots + 1;
  }
  return Array.from({ length: states }, (_, state) =>
    hosts.flatMap(({ slots }, host) => {
      const unit = strides[host] ?? 1;
      const count = Math.floor(state / unit) % (slots + 1);
      return count === 0 ? [] : [{ row: state - unit, host, enters: count === 1 }];
    }),
  );
}

/** The fastest hosts first, with each in turn as the last one; each may be left out. */
function orders(hosts: readonly PlanHost[]): Rows[] {
  const speed = (index: number) => hosts[index]?.layerMs ?? 0;
  const bySpeed = hosts.map((_, index) => index).sort((a, b) => speed(a) - speed(b));
  return bySpeed.map((final) => {
    const rows: Step[][] = [[]];
    let merged = 0;
    for (const host of [...bySpeed.filter((other) => other !== final), final]) {
      const joined: Step[] = [{ row: merged, enters: false }];
      for (let count = 1; count <= (hosts[host]?.slots ?? 0); count++) {
        const before = count === 1 ? merged : rows.length - 1;
        rows.push([{ row: before, host, enters: count === 1 }]);
        joined.push({ row: rows.length - 1, enters: false });
      }
      rows.push(joined);
      merged = rows.length - 1;
    }
    return rows;
  });
}

interface Found {
  readonly ms: number;
  readonly ranges: LayerRange[];
}

interface Ground {
  readonly model: PlanModel;
  readonly hosts: readonly PlanHost[];
  readonly reach: readonly Reach[];
}

function cheapest(rows: Rows, ground: Ground): Found | undefined {
  const table = new Table(rows.length, ground);
  for (const [row, steps] of rows.entries()) for (const step of steps) table.take(row, step);
  return table.found();
}

/** By row and number of layers held: the least time, and how it was come by. */
class Table {
  readonly #ground: Ground;
  readonly #rowCount: number;
  readonly #width: number;
  readonly #ms: Float64Array;
  readonly #stages: Int32Array;
  /** Place in the table that a range was put behind; -1 for none. */
  readonly #before: Int32Array;
  /** Whose range that was; -1 where the place was taken over. */
  readonly #host: Int32Array;
  /** Begins of ranges, see `#extend`. */
  readonly #window: Int32Array;

  constructor(rowCount: number, ground: Ground) {
    this.#ground = ground;
    this.#rowCount = rowCount;
    this.#width = ground.model.layers + 1;
    const size = rowCount * this.#width;
    this.#ms = new Float64Array(size).fill(Number.POSITIVE_INFINITY);
    this.#stages = new Int32Array(size);
    this.#before = new Int32Array(size).fill(-1);
    this.#host = new Int32Array(size).fill(-1);
    this.#window = new Int32Array(this.#width);
    this.#ms[0] = 0;
  }

  take(row: number, { row: source, host, enters }: Step): void {
    const [target, origin] = [row * this.#width, source * this.#width];
    if (host !== undefined) {
      this.#extend(target, origin, { host, enters });
      return;
    }
    for (let held = 0; held < this.#width; held++) {
      const ms = this.#ms[origin + held] ?? Number.POSITIVE_INFINITY;
      if (Number.isFinite(ms)) this.#reach(target + held, origin + held, { ms, host: -1 });
    }
  }

  /** All ranges of the host. */
  #extend(target: number, origin: number, step: { host: number; enters: boolean }): void {
    const { host, enters } = step;
    const { model, hosts, reach } = this.#ground;
    const [at, limits] = [hosts[host], reach[host]];
    if (at === undefined || limits === undefined) return;
    const hopMs = enters ? at.delayMs : 0;
    const least = this.#leastBefore(origin, at.layerMs, limits.ends);
    for (let end = 1; end < model.layers; end++) {
      const { from, ms } = least(end);
      if (from >= 0) this.#reach(target + end, origin + from, { ms: ms + end * at.layerMs + hopMs, host });
    }
    for (let from = 0; from < model.layers; from++) {
      const ms = this.#ms[origin + from] ?? Number.POSITIVE_INFINITY;
      if (limits.last[from] !== true || !Number.isFinite(ms)) continue;
      const ownMs = stageMs(model, at, from, model.layers) + hopMs;
      this.#reach(target + model.layers, origin + from, { ms: ms + ownMs, host });
    }
  }

  /**
   * For ends one after the other: the begin, of those from which the end can be reached, that is best. What a range
   * costs is linear in its ends, and the begins are neighbours, since `ends` never falls: so it is the least of a
   * sliding window of (time before − begin × time of a layer). -1 where there is none.
   */
  #leastBefore(
    origin: number,
    layerMs: number,
    ends: Int32Array,
  ): (end: number) => { from: number; ms: number } {
    const time = (from: number) => (this.#ms[origin + from] ?? Number.POSITIVE_INFINITY) - from * layerMs;
    const window = this.#window;
    let [head, tail] = [0, 0];
    return (end) => {
      const ms = time(end - 1);
      if (Number.isFinite(ms)) {
        while (tail > head && time(window[tail - 1] ?? 0) > ms) tail--;
        window[tail++] = end - 1;
      }
      while (tail > head && (ends[window[head] ?? 0] ?? 0) < end) head++;
      const from = tail > head ? (window[head] ?? -1) : -1;
      return { from, ms: time(from) };
    };
  }

  #reach(place: number, before: number, { ms, host }: { ms: number; host: number }): void {
    const stages = (this.#stages[before] ?? 0) + (host < 0 ? 0 : 1);
    const known = this.#ms[place] ?? 0;
    if (ms > known * (1 + SAME)) return;
    if (ms >= known * (1 - SAME) && stages >= (this.#stages[place] ?? 0)) return;
    this.#ms[place] = ms;
    this.#stages[place] = stages;
    this.#before[place] = before;
    this.#host[place] = host;
  }

  /** The best pipeline that holds all layers. */
  found(): Found | undefined {
    const { layers } = this.#ground.model;
    const ends = Array.from({ length: this.#rowCount }, (_, row) => row * this.#width + layers);
    const time = (place: number) => this.#ms[place] ?? Number.POSITIVE_INFINITY;
    const best = ends.reduce((least, place) => (time(place) < time(least) ? place : least), layers);
    if (time(best) === Number.POSITIVE_INFINITY) return undefined;
    const ranges: LayerRange[] = [];
    for (let place = best; place > 0; ) {
      const before = this.#before[place] ?? -1;
      const host = this.#host[place] ?? -1;
      const [firstLayer, endLayer] = [before % this.#width, place % this.#width];
      if (host >= 0) ranges.unshift({ host, firstLayer, endLayer });
      place = before;
    }
    return { ms: time(best), ranges };
  }
}
