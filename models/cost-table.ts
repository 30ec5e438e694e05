import { NO_NODE, nodeId, tokenId } from "../decoding/ids.ts";
import { NO_COUNTS } from "../decoding/path-tokens.ts";
import { GREEDY } from "../decoding/sampling-params.ts";
import type { SegmentNodes } from "../decoding/segment.ts";
import type { CostTable, StageEngine, StageResult } from "./stage-engine.ts";

export interface CostOptions {
  /** Segment sizes to measure, in nodes. */
  readonly sizes: readonly number[];
  /** Elements of a hidden row, at every stage but the first. */
  readonly hidden?: number;
  /** At the last stage a segment's time includes one token of the target's. */
  readonly drawsTokens?: boolean;
}

const SCRATCH_SESSION = "cost-table";
/** A short conversation's worth of cached rows. */
const CONTEXT_NODES = 128;
const WARM_UP_RUNS = 1;
const MEASURED_RUNS = 5;

/**
 * Measures how long the stage takes for segments of each size, as medians over a few runs on a session
 * of its own that is released afterwards.
 */
export async function measureCosts(engine: StageEngine, options: CostOptions): Promise<CostTable> {
  const hiddenOf = (nodes: SegmentNodes) =>
    options.hidden === undefined ? {} : { hidden: new Float32Array(nodes.ids.length * options.hidden) };
  try {
    const context = chain({ firstId: 0, parent: NO_NODE, position: 0, count: CONTEXT_NODES, firstToken: 0 });
    await engine.run({ session: SCRATCH_SESSION, nodes: context, ...hiddenOf(context), committed: true });
    const head = CONTEXT_NODES - 1;
    let firstId = CONTEXT_NODES;
    let firstToken = 0;
    const table: { nodes: number; ms: number }[] = [];
    for (const count of [...options.sizes].sort((a, b) => a - b)) {
      const times: number[] = [];
      for (let run = 0; run < WARM_UP_RUNS + MEASURED_RUNS; run++) {
        const nodes = chain({ firstId, parent: head, position: CONTEXT_NODES, count, firstToken });
        const result = await engine.run({
          session: SCRATCH_SESSION,
          nodes,
          ...hiddenOf(nodes),
          committed: false,
        });
        const tokenMs = options.drawsTokens ? await drawToken(engine, result) : 0;
        if (run >= WARM_UP_RUNS) times.push(result.computeMs + tokenMs);
        firstId += count;
        // The other token prunes this run's nodes and lets those of the next one live.
        firstToken = 1 - firstToken;
        await engine.commit(SCRATCH_SESSION, [nodeId(head)], tokenId(firstToken));
      }
      table.push({ nodes: count, ms: median(times) });
    }
    return table;
  } finally {
    await engine.release(SCRATCH_SESSION);
  }
}

/** Milliseconds for the token after a run's last node. */
async function drawToken(engine: StageEngine, { nodes, hidden }: StageResult): Promise<number> {
  const begun = performance.now();
  const width = hidden.length / nodes.ids.length;
  await engine.nextToken(hidden.slice(-width), GREEDY, CONTEXT_NODES, NO_COUNTS);
  return performance.now() - begun;
}

interface Chain {
  readonly firstId: number;
  readonly parent: number;
  readonly position: number;
  readonly count: number;
  readonly firstToken: number;
}

function chain({ firstId, parent, position, count, firstToken }: Chain): SegmentNodes {
  const fill = (at: (i: number) => number) => Uint32Array.from({ length: count }, (_, i) => at(i));
  return {
    ids: fill((i) => firstId + i),
    parents: fill((i) => (i === 0 ? parent : firstId + i - 1)),
    tokens: fill((i) => (i === 0 ? firstToken : 0)),
    positions: fill((i) => position + i),
  };
}

/** "1=2.91 2=3.30": milliseconds by number of nodes, as a stage's metadata tell them. */
export const formatCosts = (costs: CostTable): string =>
  costs.map(({ nodes, ms }) => `${nodes}=${ms.toFixed(2)}`).join(" ");

/** Of what formatCosts made. */
export function parseCosts(text: string): { nodes: number; ms: number }[] {
  return [...text.matchAll(/(\d+)=([\d.]+)/g)].map(([, nodes, ms]) => ({
    nodes: Number(nodes),
    ms: Number(ms),
  }));
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
