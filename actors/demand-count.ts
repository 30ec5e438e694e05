import type { SessionFlow } from "../decoding/session-flow.ts";
import type { DemandMessage } from "./mesh/demand.ts";

/** What a session has done so far. */
export type SessionCounts = Omit<DemandMessage, "spanMs" | "sessions">;

const NOTHING: SessionCounts = { tokens: 0, commits: 0, misses: 0, segments: 0, nodes: 0 };

/** Adds up what the sessions of a tree host do, for `event.demand`. */
export class DemandCount {
  /** Sessions that go on: how to read their counts, and what of them was told. */
  readonly #open = new Map<() => SessionCounts, SessionCounts>();
  /** Of sessions that have ended since. */
  #rest = NOTHING;

  /** `read` gives the session's counts, which only grow. What is returned is called when the session has ended. */
  follow(read: () => SessionCounts): () => void {
    this.#open.set(read, read());
    return () => {
      const told = this.#open.get(read);
      if (told === undefined) return;
      this.#rest = sum(this.#rest, difference(read(), told));
      this.#open.delete(read);
    };
  }

  /** Like {@link follow}; what the flow began with does not count. */
  followFlow(flow: Pick<SessionFlow, "stats" | "journal">): () => void {
    const { length } = flow.journal;
    return this.follow(() => {
      const { commits, misses, treeSegments, treeNodes } = flow.stats;
      return {
        tokens: flow.journal.length - length,
        commits,
        misses,
        segments: treeSegments,
        nodes: treeNodes,
      };
    });
  }

  /** What was done since the last call; undefined when no session went on meanwhile. */
  take(spanMs: number): DemandMessage | undefined {
    let counts = this.#rest;
    this.#rest = NOTHING;
    for (const [read, told] of this.#open) {
      const now = read();
      counts = sum(counts, difference(now, told));
      this.#open.set(read, now);
    }
    const sessions = this.#open.size;
    return sessions === 0 && counts === NOTHING ? undefined : { spanMs, sessions, ...counts };
  }
}

function combine(a: SessionCounts, b: SessionCounts, join: (a: number, b: number) => number): SessionCounts {
  return {
    tokens: join(a.tokens, b.tokens),
    commits: join(a.commits, b.commits),
    misses: join(a.misses, b.misses),
    segments: join(a.segments, b.segments),
    nodes: join(a.nodes, b.nodes),
  };
}
const sum = (a: SessionCounts, b: SessionCounts) => combine(a, b, (x, y) => x + y);
const difference = (a: SessionCounts, b: SessionCounts) => combine(a, b, (x, y) => x - y);
