import type { NodeId } from "../../decoding/ids.ts";
import type { EventQueue } from "./event-queue.ts";

/** A node on its way through the stages. */
export interface FlightNode {
  readonly id: NodeId;
  readonly position: number;
  /** Position of the first token on its path that the target does not choose; Infinity on the true path. */
  readonly wrongAt: number;
}

export interface FlightSegment {
  readonly session: number;
  readonly sequence: number;
  /** The prompt: its nodes are certain. */
  readonly committed: boolean;
  /** Tokens that were certain when it was sent. */
  readonly certain: number;
  /** Drops dead nodes; see Policy.prunes. */
  readonly prunes: boolean;
  readonly nodes: readonly FlightNode[];
}

/** One segment's time in one stage. */
export interface StageWork {
  readonly stage: number;
  readonly segment: FlightSegment;
  readonly beginMs: number;
  readonly endMs: number;
}

export interface StageOptions {
  readonly index: number;
  readonly events: EventQueue;
  /** Time for a segment of so many live nodes. */
  readonly costMs: (nodes: number) => number;
  /** Time to take a message and to hand on the result. */
  readonly overheadMs: number;
  /** The stage is done with a segment; its nodes are those that were alive when it began. */
  readonly done: (work: StageWork) => void;
}

/** What a stage knows of one session. */
interface Known {
  /** Tokens that the heard commits make certain. */
  heard: number[];
  /** Of those, what has taken effect. */
  certain: number;
}

/**
 * One stage as actors/stage.ts has it: segments in the order of their arrival, one at a time. A node is
 * computed unless the commits heard before the segment is begun show that its path is wrong, which is what
 * decoding/live-rows.ts finds out from parent links.
 */
export class Stage {
  readonly #options: StageOptions;
  readonly #waiting: FlightSegment[] = [];
  readonly #known = new Map<number, Known>();
  readonly #ended = new Set<number>();
  #busy = false;

  constructor(options: StageOptions) {
    this.#options = options;
  }

  receive(segment: FlightSegment): void {
    this.#waiting.push(segment);
    if (!this.#busy) this.#next();
  }

  /** Tokens before position `certain` are known now. */
  hear(session: number, certain: number): void {
    this.#knownOf(session).heard.push(certain);
  }

  forget(session: number): void {
    this.#known.delete(session);
    this.#ended.add(session);
  }

  #next(): void {
    const segment = this.#waiting.shift();
    this.#busy = segment !== undefined;
    if (segment === undefined) return;
    const { events, overheadMs } = this.#options;
    events.at(events.nowMs + overheadMs, () => this.#compute(segment));
  }

  #compute(segment: FlightSegment): void {
    if (this.#ended.has(segment.session)) {
      this.#next();
      return;
    }
    const { index, events, costMs, done } = this.#options;
    const certain = this.#certainFor(segment);
    const nodes = segment.nodes.filter(({ wrongAt }) => wrongAt >= certain);
    const beginMs = events.nowMs;
    const endMs = beginMs + (nodes.length === 0 ? 0 : costMs(nodes.length));
    events.at(endMs, () => {
      done({ stage: index, segment: { ...segment, nodes }, beginMs, endMs });
      this.#next();
    });
  }

  /** Lets commits take effect; where nothing is pruned, only those that the sender knew of. */
  #certainFor({ session, prunes, certain }: FlightSegment): number {
    const known = this.#knownOf(session);
    const late: number[] = [];
    for (const end of known.heard) {
      if (prunes || end <= certain) known.certain = Math.max(known.certain, end);
      else late.push(end);
    }
    known.heard = late;
    return known.certain;
  }

  #knownOf(session: number): Known {
    const known = this.#known.get(session) ?? { heard: [], certain: 0 };
    this.#known.set(session, known);
    return known;
  }
}
