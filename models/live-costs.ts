import { segmentMs } from "../decoding/costs.ts";
import type { CostTable } from "./stage-engine.ts";

/** Share of a run's deviation, in logarithms, that its entries take over. */
const GAIN = 0.1;
/** A deviation by a larger factor counts as this one: a run that something else held up says little of the stage. */
const DEVIATION_MAX = Math.log(1.3);
/** Runs after which half of what an entry was told is forgotten. */
const HALF_LIFE_RUNS = 256;
const FADE = 0.5 ** (1 / HALF_LIFE_RUNS);
/** Runs at an entry's own size after which its neighbours have no say. */
const TRUSTED_RUNS = 4;

interface Entry {
  readonly nodes: number;
  /** Logarithm of its milliseconds at the start. */
  readonly startLog: number;
  /** Logarithm of the factor by which it is slower than at the start, as far as its own runs tell. */
  drift: number;
  /** Runs that told it, weighted by how near their sizes were, and fading. */
  runs: number;
}

/**
 * A stage's table t(n), measured once and then kept true by the times of real runs: contexts grow, and
 * other programs come and go. Each entry drifts away from its first measure by a factor of its own, an
 * exponentially weighted mean of the runs beside it in which deviations are cut (Huber's). An entry that
 * has seen no runs of its size, or none lately, drifts as its neighbours do.
 */
export class LiveCosts {
  readonly #entries: readonly Entry[];
  #table: CostTable;

  /** `measured` is sorted by size and has at least one entry. */
  constructor(measured: CostTable) {
    if (measured.length === 0) throw new RangeError("a cost table has at least one entry");
    this.#entries = measured.map(({ nodes, ms }) => ({ nodes, startLog: Math.log(ms), drift: 0, runs: 0 }));
    this.#table = monotone(measured);
  }

  /** The table as it is now; never falls with the number of nodes. */
  get table(): CostTable {
    return this.#table;
  }

  /** A run of `nodes` nodes took `ms`. Larger ones than the table knows say nothing. */
  observe(nodes: number, ms: number): void {
    if (nodes < 1 || nodes > this.#entries.at(-1)!.nodes || !(ms > 0)) return;
    const drifts = this.#entries.map((_, index) => this.#driftOf(index));
    const expectedMs = segmentMs(this.#rough(drifts), nodes);
    const deviation = Math.log(ms / expectedMs);
    const counted = Math.max(-DEVIATION_MAX, Math.min(DEVIATION_MAX, deviation));
    const shares = this.#sharesOf(nodes);
    for (const [index, entry] of this.#entries.entries()) {
      const share = shares.get(index) ?? 0;
      entry.runs *= FADE;
      if (share === 0) continue;
      entry.drift = drifts[index]! + GAIN * share * counted;
      entry.runs += share;
    }
    this.#table = monotone(this.#rough(this.#entries.map((_, index) => this.#driftOf(index))));
  }

  #rough(drifts: readonly number[]): CostTable {
    return this.#entries.map(({ nodes, startLog }, index) => ({
      nodes,
      ms: Math.exp(startLog + drifts[index]!),
    }));
  }

  /** Which entries a run of that size tells something of, and how much: as interpolation would use them. */
  #sharesOf(nodes: number): Map<number, number> {
    const above = this.#entries.findIndex((entry) => entry.nodes >= nodes);
    if (above === 0) return new Map([[0, 1]]);
    const [left, right] = [this.#entries[above - 1]!.nodes, this.#entries[above]!.nodes];
    const share = (nodes - left) / (right - left);
    return new Map([
      [above - 1, 1 - share],
      [above, share],
    ]);
  }

  /** Its own drift as far as it has runs to know it by, for the rest the others', the nearest first. */
  #driftOf(index: number): number {
    const own = this.#entries[index]!;
    let sum = 0;
    let weight = 0;
    for (const other of this.#entries) {
      if (other === own) continue;
      // A quarter of the weight for each doubling between the sizes.
      const nearness = (Math.min(own.nodes, other.nodes) / Math.max(own.nodes, other.nodes)) ** 2;
      sum += nearness * other.runs * other.drift;
      weight += nearness * other.runs;
    }
    if (weight === 0) return own.drift;
    const trust = Math.min(1, own.runs / TRUSTED_RUNS);
    return trust * own.drift + (1 - trust) * (sum / weight);
  }
}

/** True when some entry differs by more than the factor `1 + share`, up or down. */
export function differ(a: CostTable, b: CostTable, share: number): boolean {
  return a.some(({ ms }, index) => {
    const other = b[index];
    return other === undefined || Math.abs(Math.log(ms / other.ms)) > Math.log(1 + share);
  });
}

/** Runs of entries that fall are set to their geometric mean: the nearest table that does not fall. */
function monotone(table: CostTable): CostTable {
  const pools: { logSum: number; count: number }[] = [];
  for (const { ms } of table) {
    let pool = { logSum: Math.log(ms), count: 1 };
    for (
      let last = pools.at(-1);
      last && last.logSum / last.count > pool.logSum / pool.count;
      last = pools.at(-1)
    ) {
      pool = { logSum: pool.logSum + last.logSum, count: pool.count + last.count };
      pools.pop();
    }
    pools.push(pool);
  }
  const levels = pools.flatMap(({ logSum, count }) => Array<number>(count).fill(Math.exp(logSum / count)));
  return table.map(({ nodes }, index) => ({ nodes, ms: levels[index]! }));
}
