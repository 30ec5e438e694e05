import type { PipelineCosts } from "../../decoding/costs.ts";
import { createPolicy } from "../../decoding/policies/registry.ts";
import type { LinkModel } from "../../transport/link-model.ts";
import { Drafter, type DrafterCosts } from "./drafter.ts";
import { EventQueue } from "./event-queue.ts";
import type { PlayedSession } from "./guess.ts";
import { Pipeline } from "./pipeline.ts";
import { Session } from "./session.ts";
import type { StageWork } from "./stage.ts";

export interface SimulationOptions {
  readonly sessions: readonly PlayedSession[];
  /** `name` or `name:key=number,…`. */
  readonly policy: string;
  /** t(n) of each stage, and so the number of stages. */
  readonly costs: PipelineCosts;
  readonly link: LinkModel;
  readonly drafter?: DrafterCosts;
  /** Time to handle a message: encoding, broker, decoding. */
  readonly overheadMs?: number;
  /** Numbers a hidden row. */
  readonly hidden?: number;
  /** Layers that the drafter reads; 0 for a drafter that needs tokens alone. */
  readonly taps?: number;
  /** Sessions played at once; the others follow as these end. */
  readonly concurrent?: number;
  /** Longest answer. */
  readonly maxTokens?: number;
  /** Tell what each stage did when. */
  readonly timeLine?: boolean;
}

/** One segment's time in one stage. */
export interface TimeLineEntry {
  readonly stage: number;
  readonly session: number;
  readonly sequence: number;
  readonly beginMs: number;
  readonly endMs: number;
  /** Nodes that were computed: those committed later, and the others. */
  readonly live: number;
  readonly dead: number;
}

export interface SessionResult {
  readonly tokens: number;
  readonly ms: number;
  readonly tokensPerSecond: number;
  readonly answer: readonly number[];
}

/** Counts begin when a session's first token is there, as in bench/session-run.ts: prefill is not measured. */
export interface SimulationResult {
  readonly policy: string;
  readonly tokens: number;
  /** Time in which at least one session was past its first token. */
  readonly ms: number;
  readonly tokensPerSecond: number;
  readonly commits: number;
  readonly tokensPerCommit: number;
  /** m: share of the tokens whose node was not in flight when its parent was verified. */
  readonly missShare: number;
  /** From such a miss to the next verified token, on average. */
  readonly recoveryMs: number;
  readonly segments: number;
  readonly segmentsPerToken: number;
  readonly nodesPerToken: number;
  /** By stage: time for nodes that were committed later, and for the others. */
  readonly busy: readonly { readonly liveMs: number; readonly deadMs: number }[];
  /** Busy time of all stages by the time there was. */
  readonly liveShare: number;
  readonly deadShare: number;
  readonly bytesPerToken: number;
  readonly sessions: readonly SessionResult[];
  readonly timeLine: readonly TimeLineEntry[];
}

/** So much longer than in theory is a token of plain decoding on paced stages, for each message on its way. */
const OVERHEAD_MS = 0.7;

/** Measured of the head that comes along, on one core. */
const DRAFTER: DrafterCosts = {
  extendMs: 0.8,
  pass: [
    { nodes: 1, ms: 0.45 },
    { nodes: 2, ms: 0.65 },
    { nodes: 4, ms: 1.2 },
    { nodes: 8, ms: 2.4 },
    { nodes: 16, ms: 4.4 },
  ],
};

/** Plays sessions with a policy through simulated stages. Deterministic. Throws PolicyError. */
export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #events = new EventQueue();
  readonly #pipeline: Pipeline;
  readonly #drafter: Drafter;
  readonly #sessions: Session[] = [];
  readonly #busy: { liveMs: number; deadMs: number }[];
  readonly #timeLine: TimeLineEntry[] = [];

  constructor(options: SimulationOptions) {
    const { costs, link, drafter = DRAFTER, overheadMs = OVERHEAD_MS, hidden = 576, taps = 3 } = options;
    this.#options = options;
    this.#pipeline = new Pipeline({ costs, link, overheadMs, hidden, taps }, this.#events);
    this.#drafter = new Drafter(this.#events, drafter, taps);
    this.#busy = Array.from({ length: costs.stageCount }, () => ({ liveMs: 0, deadMs: 0 }));
  }

  run(): SimulationResult {
    const { concurrent = 1 } = this.#options;
    for (let i = 0; i < concurrent; i++) this.#startNext();
    this.#events.run();
    return this.#result();
  }

  #startNext(): void {
    const { sessions, policy, costs, overheadMs = OVERHEAD_MS, maxTokens } = this.#options;
    const index = this.#sessions.length;
    const play = sessions[index];
    if (play === undefined) return;
    const session = new Session({
      index,
      play: maxTokens === undefined ? play : shortened(play, maxTokens),
      policy: createPolicy(policy, { stageCount: costs.stageCount, costs }),
      costs,
      events: this.#events,
      pipeline: this.#pipeline,
      drafter: this.#drafter,
      overheadMs,
      worked: (work) => this.#count(work),
      ended: () => this.#startNext(),
    });
    this.#sessions.push(session);
    session.start();
  }

  #count({ stage, segment, beginMs, endMs }: StageWork): void {
    const busy = this.#busy[stage];
    if (segment.committed || busy === undefined) return;
    const live = segment.nodes.filter(({ wrongAt }) => wrongAt === Number.POSITIVE_INFINITY).length;
    const dead = segment.nodes.length - live;
    if (live + dead > 0) {
      busy.liveMs += ((endMs - beginMs) * live) / (live + dead);
      busy.deadMs += ((endMs - beginMs) * dead) / (live + dead);
    }
    if (this.#options.timeLine !== true) return;
    const { session, sequence } = segment;
    this.#timeLine.push({ stage, session, sequence, beginMs, endMs, live, dead });
  }

  #result(): SimulationResult {
    const all = this.#sessions.map(({ measures }) => measures);
    const total = (read: (measures: (typeof all)[number]) => number) =>
      all.reduce((sum, measures) => sum + read(measures), 0);
    const tokens = total((session) => session.tokens);
    const ms = coveredMs(all.map(({ firstMs, lastMs }) => [firstMs, lastMs]));
    const commits = total((session) => session.commits);
    const segments = total((session) => session.segments);
    const stageMs = ms * this.#busy.length;
    return {
      policy: this.#options.policy,
      tokens,
      ms,
      tokensPerSecond: (tokens / ms) * 1000,
      commits,
      tokensPerCommit: tokens / commits,
      missShare: total((session) => session.misses) / total((session) => Math.max(0, session.tokens - 1)),
      recoveryMs: total((session) => session.recoveryMs) / total((session) => session.recoveries),
      segments,
      segmentsPerToken: segments / tokens,
      nodesPerToken: total((session) => session.sentNodes) / tokens,
      busy: this.#busy,
      liveShare: this.#busy.reduce((sum, { liveMs }) => sum + liveMs, 0) / stageMs,
      deadShare: this.#busy.reduce((sum, { deadMs }) => sum + deadMs, 0) / stageMs,
      bytesPerToken: this.#pipeline.bytes / tokens,
      sessions: this.#sessions.map(resultOf),
      timeLine: this.#timeLine,
    };
  }
}

function resultOf({ measures, tokens: answer }: Session): SessionResult {
  const { tokens, firstMs, lastMs } = measures;
  const ms = lastMs - firstMs;
  return { tokens, ms, tokensPerSecond: (tokens / ms) * 1000, answer };
}

function shortened(play: PlayedSession, maxTokens: number): PlayedSession {
  return { tokens: play.tokens.slice(0, maxTokens), guessesBelow: (index) => play.guessesBelow(index) };
}

/** Time that lies in at least one of the spans. */
function coveredMs(spans: readonly (readonly [number, number])[]): number {
  let covered = 0;
  let reached = 0;
  for (const [begin, end] of spans.toSorted((a, b) => a[0] - b[0])) {
    covered += Math.max(0, end - Math.max(begin, reached));
    reached = Math.max(reached, end);
  }
  return covered;
}
