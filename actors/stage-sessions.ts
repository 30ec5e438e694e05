import { PathTokens } from "../decoding/path-tokens.ts";
import { Verification } from "../decoding/walk.ts";
import type { SegmentFrame } from "../transport/frame.ts";
import { DeferredCommits } from "./deferred-commits.ts";
import { lastGeneration, parseJson, type SessionSpec, sessionSpecSchema } from "./messages.ts";
import { TapStore } from "./tap-store.ts";

/** What a stage knows of one session beside its KV rows. */
export interface StageSession {
  readonly generation: number;
  readonly spec: SessionSpec;
  /** The verifier's walk; used by the last stage only. */
  readonly verification: Verification;
  /** Tokens that are certain; followed by the last stage only. */
  readonly path: PathTokens;
  readonly taps: TapStore;
  /** Heard, and not yet followed by the model's cache. */
  readonly commits: DeferredCommits;
  nextSequence: number;
  lastUsedMs: number;
}

/** `stale`: drop it. `gap`: something before it is missing. `fresh`: begins a generation. `next`: in order. */
export type Arrival =
  | { readonly kind: "stale" }
  | { readonly kind: "gap" }
  | { readonly kind: "fresh" | "next"; readonly session: StageSession };

/** Sessions without a segment for this long are forgotten; the next segment raises a gap and heals it. */
const IDLE_MS_MAX = 15 * 60_000;

/**
 * The order of segments, by session. A generation begins with sequence 0, which carries the session's
 * spec; from there each segment follows the one before it. Older generations and repeats are stale; a
 * hole is a gap, reported once a generation.
 */
export class StageSessions {
  readonly #sessions = new Map<string, StageSession>();
  /** Generation for which a gap was reported, or the last one of a session that ended: dropped from then on. */
  readonly #broken = new Map<string, { readonly generation: number; readonly sinceMs: number }>();

  get size(): number {
    return this.#sessions.size;
  }

  get all(): string[] {
    return [...this.#sessions.keys()];
  }

  get(sid: string): StageSession | undefined {
    return this.#sessions.get(sid);
  }

  arrive(sid: string, frame: SegmentFrame, nowMs: number): Arrival {
    const known = this.#sessions.get(sid);
    if ((this.#broken.get(sid)?.generation ?? -1) >= frame.generation) return { kind: "stale" };
    if (known !== undefined && frame.generation < known.generation) return { kind: "stale" };
    if (frame.sequence === 0 && frame.generation !== known?.generation) {
      if (frame.spec === undefined) return this.#break(sid, frame.generation, nowMs);
      const session = openSession(frame.generation, frame.spec, nowMs);
      this.#sessions.set(sid, session);
      this.#broken.delete(sid);
      return { kind: "fresh", session };
    }
    if (known === undefined || frame.generation > known.generation)
      return this.#break(sid, frame.generation, nowMs);
    if (frame.sequence < known.nextSequence) return { kind: "stale" };
    if (frame.sequence > known.nextSequence) return this.#break(sid, frame.generation, nowMs);
    known.nextSequence++;
    known.lastUsedMs = nowMs;
    return { kind: "next", session: known };
  }

  /** Of this generation nothing can be used; a later one begins anew. */
  giveUp(sid: string, generation: number, nowMs: number): void {
    this.#broken.set(sid, { generation, sinceMs: nowMs });
  }

  /** What is still on its way of a session that has ended is stale; a later attempt of it is not. */
  end(sid: string, attempt: number, nowMs: number): void {
    this.#sessions.delete(sid);
    this.#broken.set(sid, { generation: lastGeneration(attempt), sinceMs: nowMs });
  }

  forget(sid: string): void {
    this.#sessions.delete(sid);
    this.#broken.delete(sid);
  }

  /** Sessions that nobody has used for long: their end must have been lost. Old gaps are forgotten, too. */
  idle(nowMs: number): string[] {
    const before = nowMs - IDLE_MS_MAX;
    for (const [sid, { sinceMs }] of this.#broken) if (sinceMs < before) this.#broken.delete(sid);
    return [...this.#sessions].filter(([, session]) => session.lastUsedMs < before).map(([sid]) => sid);
  }

  #break(sid: string, generation: number, nowMs: number): Arrival {
    this.giveUp(sid, generation, nowMs);
    return { kind: "gap" };
  }
}

function openSession(generation: number, specBytes: Uint8Array, nowMs: number): StageSession {
  const spec = parseJson(sessionSpecSchema, { subject: "session spec", body: specBytes });
  const path = new PathTokens(spec.promptTokens);
  path.write(0, spec.prefix ?? []);
  return {
    generation,
    spec,
    verification: new Verification(spec),
    path,
    taps: new TapStore(),
    commits: new DeferredCommits(),
    nextSequence: 1,
    lastUsedMs: nowMs,
  };
}
