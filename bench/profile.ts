import type { StageWorkMessage } from "../actors/messages.ts";
import { type LinkModel, LinkSchedule } from "../transport/link-model.ts";
import type { Drafting, HeardCommit, SentSegment, SessionRecord } from "./session-record.ts";

/**
 * What the time of a token goes to: the stages' model; links; waiting behind other segments; waiting for the
 * drafter; and the framework, which is all the rest: encoding, NATS, event loops, timers.
 */
export const TIME_KINDS = ["model", "link", "queueing", "drafting", "framework"] as const;
export type TimeKind = (typeof TIME_KINDS)[number];

export interface Profile {
  /** Decoded tokens that the times belong to. */
  readonly tokens: number;
  /** Together the time from the first commit to the last. */
  readonly ms: Readonly<Record<TimeKind, number>>;
}

export interface ProfileSetting {
  readonly stageCount: number;
  /** What a stage sends over, and what the tree manager's messages to the first one pass. */
  readonly link: LinkModel;
  /** Of a stage's work, the time that the model, real or paced, accounts for. */
  readonly modelMs: (work: StageWorkMessage) => number;
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Splits the time between each commit and the one before it along the commit's critical path: back from the
 * verifier through the stages that computed the segment, to the tree manager that sent it. What of that path
 * lies before the earlier commit was hidden behind other tokens and counts for nothing.
 */
export function profileSession(record: SessionRecord, setting: ProfileSetting): Profile {
  const path = new CriticalPath(record, setting);
  const [first, ...later] = record.commits;
  let previous = first;
  for (const commit of later) {
    if (previous !== undefined) path.walk(previous, commit);
    previous = commit;
  }
  return { tokens: later.reduce((sum, { tokens }) => sum + tokens.length, 0), ms: path.ms };
}

export function addProfiles(a: Profile, b: Profile): Profile {
  const ms = emptyTimes();
  for (const kind of TIME_KINDS) ms[kind] = a.ms[kind] + b.ms[kind];
  return { tokens: a.tokens + b.tokens, ms };
}

const emptyTimes = (): Record<TimeKind, number> => ({
  model: 0,
  link: 0,
  queueing: 0,
  drafting: 0,
  framework: 0,
});

class CriticalPath {
  readonly ms = emptyTimes();
  readonly #record: SessionRecord;
  readonly #setting: ProfileSetting;
  readonly #workByStage: readonly (readonly StageWorkMessage[])[];
  readonly #workOf = new Map<string, StageWorkMessage>();
  readonly #sent = new Map<string, SentSegment>();
  readonly #arrivals = new Map<StageWorkMessage | SentSegment, number>();
  /** Everything before it belongs to earlier tokens. */
  #floorMs = 0;
  /** All from here on has been accounted for. */
  #cursorMs = 0;

  constructor(record: SessionRecord, setting: ProfileSetting) {
    this.#record = record;
    this.#setting = setting;
    this.#workByStage = Array.from({ length: setting.stageCount }, (_, stage) =>
      record.work.filter((work) => work.stage === stage),
    );
    for (const work of record.work) {
      this.#workOf.set(`${work.stage}/${work.generation}/${work.segment}`, work);
    }
    for (const segment of record.segments) {
      this.#sent.set(`${segment.generation}/${segment.sequence}`, segment);
    }
    this.#sendAll(record.segments, ({ atMs }) => atMs);
    for (const works of this.#workByStage) this.#sendAll(works, ({ endMs }) => endMs);
  }

  /** When what one device sent arrived, by its link alone. */
  #sendAll<T extends StageWorkMessage | SentSegment>(sent: readonly T[], leftMs: (one: T) => number): void {
    const link = new LinkSchedule(this.#setting.link);
    for (const one of sent.toSorted((a, b) => leftMs(a) - leftMs(b))) {
      this.#arrivals.set(one, link.send(leftMs(one), one.bytes));
    }
  }

  #linkMs(bytes: number): number {
    return new LinkSchedule(this.#setting.link).send(0, bytes);
  }

  walk(previous: HeardCommit, commit: HeardCommit): void {
    this.#floorMs = previous.atMs;
    this.#cursorMs = commit.atMs;
    for (let stage = this.#setting.stageCount - 1; stage >= 0; stage--) {
      const work = this.#workOf.get(`${stage}/${commit.generation}/${commit.segment}`);
      if (work === undefined) break;
      this.#waitAt(stage + 1, work.endMs, work);
      const model = Math.min(this.#setting.modelMs(work), work.endMs - work.beginMs);
      this.#backTo(work.beginMs + model, "framework");
      this.#backTo(work.beginMs, "model");
    }
    const segment = this.#sent.get(`${commit.generation}/${commit.segment}`);
    if (segment !== undefined) {
      this.#waitAt(0, segment.atMs, segment);
      this.#waitAtTree();
    } else this.#backTo(this.#floorMs, "framework");
  }

  /**
   * From where the cursor is back to when a message left for a stage: that stage's queue, then the link.
   * Behind the last stage is the tree manager, which has no queue.
   */
  #waitAt(stage: number, leftMs: number, sent: StageWorkMessage | SentSegment): void {
    const arrivalMs = this.#arrivals.get(sent) ?? leftMs;
    const works = this.#workByStage[stage] ?? [];
    const rest = this.#take([{ fromMs: arrivalMs, toMs: this.#cursorMs }], works.map(spanOf), "queueing");
    for (const span of rest) this.#charge(span, "framework");
    this.#cursorMs = Math.min(this.#cursorMs, Math.max(this.#floorMs, arrivalMs));
    this.#backTo(arrivalMs - this.#linkMs(sent.bytes), "link");
    // Behind what the same device had sent before.
    this.#backTo(leftMs, "queueing");
  }

  /** What the tree manager waited for before it sent: the drafter, a free first stage, or older segments. */
  #waitAtTree(): void {
    const { draftings, commits, reportsMs } = this.#record;
    let rest: Span[] = [{ fromMs: this.#floorMs, toMs: this.#cursorMs }];
    rest = this.#take(rest, draftings.map(spanOf), "drafting");
    rest = this.#take(rest, (this.#workByStage[0] ?? []).map(spanOf), "queueing");
    // A policy that had nothing to wait for would have sent at once; else it was told of what it waited for.
    const told = [...commits.map(({ atMs }) => atMs), ...reportsMs].filter((atMs) => atMs <= this.#cursorMs);
    rest = this.#take(rest, [{ fromMs: this.#floorMs, toMs: Math.max(this.#floorMs, ...told) }], "queueing");
    for (const span of rest) this.#charge(span, "framework");
  }

  #backTo(atMs: number, kind: TimeKind): void {
    const fromMs = Math.max(atMs, this.#floorMs);
    if (fromMs >= this.#cursorMs) return;
    this.ms[kind] += this.#cursorMs - fromMs;
    this.#cursorMs = fromMs;
  }

  #charge({ fromMs, toMs }: Span, kind: TimeKind): void {
    this.ms[kind] += Math.max(0, toMs - Math.max(fromMs, this.#floorMs));
  }

  /** Counts what of `spans` lies in `cuts` as time of that kind, and gives the rest. */
  #take(spans: readonly Span[], cuts: readonly Span[], kind: TimeKind): Span[] {
    let rest = [...spans];
    for (const cut of cuts) {
      rest = rest.flatMap((span) => {
        const inside = { fromMs: Math.max(span.fromMs, cut.fromMs), toMs: Math.min(span.toMs, cut.toMs) };
        if (inside.fromMs >= inside.toMs) return [span];
        this.#charge(inside, kind);
        const before = { fromMs: span.fromMs, toMs: inside.fromMs };
        const after = { fromMs: inside.toMs, toMs: span.toMs };
        return [before, after].filter(({ fromMs, toMs }) => fromMs < toMs);
      });
    }
    return rest;
  }
}

const spanOf = ({ beginMs, endMs }: Drafting): Span => ({ fromMs: beginMs, toMs: endMs });
