/** Milliseconds that a stage takes for a segment of `nodes`; sorted by `nodes`, at least one entry. */
export type SegmentCosts = readonly { readonly nodes: number; readonly ms: number }[];

/** Cost of a segment by linear interpolation in the table, and beyond it by its last slope. */
export function segmentMs(costs: SegmentCosts, nodes: number): number {
  const upper = costs.findIndex((entry) => entry.nodes >= nodes);
  if (upper === 0 || costs.length === 1) return costs[0]!.ms;
  const right = upper < 0 ? costs.length - 1 : upper;
  const a = costs[right - 1]!;
  const b = costs[right]!;
  return a.ms + ((b.ms - a.ms) * (nodes - a.nodes)) / (b.nodes - a.nodes);
}

/** What the stages of a pipeline cost, first to last; one table each. */
export class PipelineCosts {
  readonly #tables: readonly SegmentCosts[];
  /** `slowestMs` by nodes, once asked: policies ask for each length of each segment. */
  readonly #slowest = new Map<number, number>();

  constructor(tables: readonly SegmentCosts[]) {
    if (tables.length === 0 || tables.some((table) => table.length === 0)) {
      throw new RangeError("a pipeline has at least one stage, and each stage's table an entry");
    }
    this.#tables = tables;
  }

  get stageCount(): number {
    return this.#tables.length;
  }

  stageMs(stage: number, nodes: number): number {
    const table = this.#tables[stage];
    if (table === undefined) throw new RangeError(`there is no stage ${stage}`);
    return segmentMs(table, nodes);
  }

  /** Of the stage that takes longest: it decides how often a segment can leave. */
  slowestMs(nodes: number): number {
    const known = this.#slowest.get(nodes);
    if (known !== undefined) return known;
    const slowest = Math.max(...this.#tables.map((table) => segmentMs(table, nodes)));
    this.#slowest.set(nodes, slowest);
    return slowest;
  }

  /** Time inside all stages, one after the other, without links. */
  totalMs(nodes: number): number {
    return this.#tables.reduce((sum, table) => sum + segmentMs(table, nodes), 0);
  }
}
