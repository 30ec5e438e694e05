import { type SegmentCosts, segmentMs } from "../../decoding/costs.ts";
import type { FlowCandidates, FlowEffect } from "../../decoding/session-flow.ts";
import { TreeGrowth } from "../../models/draft/tree-growth.ts";
import type { EventQueue } from "./event-queue.ts";
import type { Guess, PlayedSession } from "./guess.ts";

/** What the draft model costs. */
export interface DrafterCosts {
  /** To take in the features of newly verified tokens. */
  readonly extendMs: number;
  /** A pass that deepens so many nodes. */
  readonly pass: SegmentCosts;
}

export type Expand = Extract<FlowEffect, { type: "expand" }>;

interface DraftedSession {
  readonly play: PlayedSession;
  readonly deliver: (found: FlowCandidates) => void;
  /** Tokens that are known to be certain, from position 0. */
  certain: number;
  /** Per tap: positions whose features have come. */
  readonly features: number[];
  /** Positions that were handed to the draft model. */
  given: number;
  /** Counts what makes a running expansion stale. */
  changes: number;
  wanted: Expand | undefined;
  /** The present root, and the guesses below it that went through the draft model. */
  root: Guess;
  readonly deepened: Set<Guess>;
}

const NOTHING: Guess = { token: 0, logProb: 0, children: [] };

/** Yields milliseconds of work; what follows a yield happens after them. */
type Job = Generator<number, void>;

/**
 * The drafter as actors/drafter.ts and models/draft/head-draft-engine.ts have it: one worker, jobs in order,
 * an expansion waits for the features of its root and ends early when a newer one, or newer features, come.
 */
export class Drafter {
  readonly #events: EventQueue;
  readonly #costs: DrafterCosts;
  readonly #taps: number;
  readonly #sessions = new Map<number, DraftedSession>();
  readonly #jobs: Job[] = [];
  #working = false;

  constructor(events: EventQueue, costs: DrafterCosts, taps: number) {
    this.#events = events;
    this.#costs = costs;
    this.#taps = taps;
  }

  begin(session: number, play: PlayedSession, deliver: (found: FlowCandidates) => void): void {
    this.#sessions.set(session, {
      play,
      deliver,
      certain: 1,
      features: new Array<number>(this.#taps).fill(0),
      given: 0,
      changes: 0,
      wanted: undefined,
      root: NOTHING,
      deepened: new Set(),
    });
  }

  forget(session: number): void {
    const state = this.#sessions.get(session);
    if (state !== undefined) state.changes++;
    this.#sessions.delete(session);
  }

  /** Tokens before position `certain` are known. */
  committed(session: number, certain: number): void {
    const state = this.#sessions.get(session);
    if (state === undefined) return;
    state.certain = Math.max(state.certain, certain);
    this.#follow(state);
  }

  /** The features of all positions before `end` have come from this tap. */
  featuresCame(session: number, tap: number, end: number): void {
    const state = this.#sessions.get(session);
    if (state === undefined) return;
    state.features[tap] = Math.max(state.features[tap] ?? 0, end);
    this.#follow(state);
  }

  expand(session: number, request: Expand): void {
    const state = this.#sessions.get(session);
    if (state === undefined) return;
    state.wanted = request;
    this.#follow(state);
  }

  #follow(state: DraftedSession): void {
    const complete = Math.min(state.certain - 1, ...state.features);
    if (complete > state.given) {
      state.given = complete;
      state.changes++;
      this.#add(this.#extendJob(state, complete));
    }
    const { wanted } = state;
    if (wanted === undefined || wanted.position > state.given) return;
    state.wanted = undefined;
    if (wanted.position === state.given) this.#add(this.#expandJob(state, wanted, ++state.changes));
  }

  *#extendJob(state: DraftedSession, done: number): Job {
    yield this.#costs.extendMs;
    state.root = state.play.guessesBelow(done - 1);
    state.deepened.clear();
  }

  *#expandJob(state: DraftedSession, request: Expand, change: number): Job {
    const { generation, base, position, size } = request;
    const { root } = state;
    const guesses = new Guesses(root);
    const growth = new TreeGrowth(size, root.children);
    const tell = (more: boolean) => {
      const { parents, tokens, scores } = growth.selectNew();
      if (more && tokens.length === 0) return;
      const found = { parents: Array.from(parents), tokens: Array.from(tokens), scores: Array.from(scores) };
      state.deliver({ generation, base, position, ...found, more });
    };
    while (growth.frontier.length > 0) {
      if (size.growth === "best") tell(true);
      if (state.changes !== change) break;
      const frontier = growth.frontier.map((index) => guesses.at(index, growth.pool));
      const fresh = frontier.filter((guess) => !state.deepened.has(guess));
      if (fresh.length > 0) yield segmentMs(this.#costs.pass, fresh.length);
      for (const guess of fresh) state.deepened.add(guess);
      growth.grow(frontier.map(({ children }) => children));
    }
    tell(false);
  }

  #add(job: Job): void {
    this.#jobs.push(job);
    if (!this.#working) this.#work();
  }

  #work(): void {
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      const { done, value } = job.next();
      if (done !== true) {
        this.#working = true;
        this.#events.at(this.#events.nowMs + value, () => this.#work());
        return;
      }
      this.#jobs.shift();
    }
    this.#working = false;
  }
}

/** The guess that each candidate of a growing tree stands for. */
class Guesses {
  readonly #root: Guess;
  readonly #known = new Map<number, Guess>();

  constructor(root: Guess) {
    this.#root = root;
  }

  at(index: number, pool: TreeGrowth["pool"]): Guess {
    if (index === -1) return this.#root;
    const known = this.#known.get(index);
    if (known !== undefined) return known;
    const token = pool.token(index);
    const guess = this.at(pool.parent(index), pool).children.find((child) => child.token === token);
    if (guess === undefined) throw new Error(`the guesses have no token ${token} there`);
    this.#known.set(index, guess);
    return guess;
  }
}
