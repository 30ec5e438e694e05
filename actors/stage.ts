import type { Epoch, NodeId, TokenId } from "../decoding/ids.ts";
import { EMPTY_NODES, type Walk } from "../decoding/segment.ts";
import { GrammarError, type TokenMasks } from "../decoding/token-mask.ts";
import { KvBudgetError } from "../models/kv-cache.ts";
import type { Pace } from "../models/pace.ts";
import type { StageEngine, StageResult, TapRows } from "../models/stage-engine.ts";
import { isFirstStage, isLastStage, type StageSpec } from "../models/stage-spec.ts";
import { decodeSegment, encodeFeatures, encodeSegment, type SegmentFrame } from "../transport/frame.ts";
import { messageBytes } from "../transport/link-model.ts";
import {
  ANY,
  draftSubject,
  eventSubject,
  parseSession,
  sessionSubject,
  stageSubject,
  treeSubject,
} from "../transport/subjects.ts";
import type { Headers, Message } from "../transport/transport.ts";
import { addressOf } from "./address.ts";
import {
  type CommitMessage,
  commitSchema,
  dropMalformed,
  type EndMessage,
  encodeJson,
  endSchema,
  type LessMessage,
  type MessageKind,
  parseFrame,
  parseJson,
  type StageAccount,
  type StageWorkMessage,
} from "./messages.ts";
import type { Actor, ActorContext, ActorDefinition } from "./runtime/actor.ts";
import { type StageSession, StageSessions } from "./stage-sessions.ts";
import { type Verdict, verdictOn } from "./stage-verdict.ts";

export interface StageOptions {
  readonly mesh: string;
  readonly epoch: Epoch;
  readonly spec: StageSpec;
  /** Width of the hidden rows. */
  readonly hidden: number;
  readonly engine: StageEngine;
  /** How hidden rows travel: f16 halves the bytes on slow links and is not bit-equal to f32. */
  readonly dtype: "f32" | "f16";
  /** The last stage only: text of tokens, for people who listen to commits. */
  readonly textOf?: (tokens: readonly TokenId[]) => string;
  /** The last stage only: what sessions with a grammar may say next. Without it they are refused. */
  readonly masks?: TokenMasks;
  /** The device that the stage acts like, if it does. */
  readonly pace?: Pace;
  /** Called when a segment has been passed on; `watched` when its session asks to be told of. */
  readonly onWork?: (work: StageWork, watched: boolean) => void;
}

/** What a stage did with one segment; its times are milliseconds of the actor's clock. */
export type StageWork = Omit<StageWorkMessage, "epoch" | "stage">;

/** Rows of ended sessions that nobody has taken over in this time are of no use any more. */
const KEPT_MS_MAX = 15 * 60_000;
/** How often a stage looks for those, and for sessions whose end was lost. */
const REAP_EVERY_MS = 60_000;

/**
 * One pipeline stage: runs its layers on the live nodes of each segment and sends them on, in order.
 * Commits overtake queued segments and prune the KV rows. The last stage is the verifier: it walks down
 * the tree with what has arrived and publishes a commit whenever the walk moves.
 */
export function stageActor(options: StageOptions): ActorDefinition {
  const { index, stageCount, firstLayer, endLayer } = options.spec;
  return {
    name: `stage-${index}`,
    description: `pipeline stage ${index + 1} of ${stageCount}, layers ${firstLayer}..${endLayer - 1}`,
    start: (context) => new Stage(options, context),
  };
}

class Stage implements Actor {
  readonly #options: StageOptions;
  readonly #context: ActorContext;
  readonly #sessions = new StageSessions();
  /** Sessions that are over, with the time of that: the engine keeps their rows for others for a while. */
  readonly #kept = new Map<string, number>();
  readonly #done = { segments: 0, nodes: 0 };

  constructor(options: StageOptions, context: ActorContext) {
    this.#options = options;
    this.#context = context;
    const { mesh, epoch, spec } = options;
    context.listen(stageSubject(mesh, epoch, spec.index, ANY), { lane: "normal" });
    context.listen(sessionSubject(mesh, ANY, "end"), { lane: "urgent" });
    if (!isLastStage(spec)) {
      context.hear(sessionSubject(mesh, ANY, "commit"), (message) => this.#hearCommit(message));
    }
    context.transport.publish(eventSubject(mesh, "up"), encodeJson({ name: context.name, epoch }));
    this.#reapLater();
  }

  async receive(message: Message): Promise<void> {
    const address = addressOf(message.subject);
    try {
      if (address?.to === "session") await this.#ended(address.sid, parseJson(endSchema, message));
      else if (address?.to === "stage") {
        await this.#segment(address.sid, parseFrame(decodeSegment, message));
      }
    } catch (error) {
      dropMalformed(this.#context.log, error);
    }
  }

  /** It overtakes segments that wait here, which must not begin the session again. */
  async #ended(sid: string, { attempt, reason }: EndMessage): Promise<void> {
    const { engine, masks } = this.#options;
    const nowMs = this.#context.clock.now();
    const session = this.#sessions.get(sid);
    this.#sessions.end(sid, attempt, nowMs);
    masks?.release(sid);
    if (session === undefined || reason === "error") return engine.release(sid);
    this.#prune(sid, session, Number.POSITIVE_INFINITY);
    this.#kept.set(sid, nowMs);
    await engine.keep(sid);
  }

  account(): StageAccount {
    return { ...this.#done, sessions: this.#sessions.size };
  }

  /** The engine goes on to serve another epoch. */
  async stop(): Promise<void> {
    for (const sid of [...this.#sessions.all, ...this.#kept.keys()]) await this.#forget(sid);
  }

  async #segment(sid: string, frame: SegmentFrame): Promise<void> {
    const { epoch, spec, pace, onWork } = this.#options;
    const { clock } = this.#context;
    if (frame.epoch !== epoch) return;
    const beginMs = clock.now();
    const arrival = this.#sessions.arrive(sid, frame, beginMs);
    if (arrival.kind === "stale") return;
    if (arrival.kind === "gap") return this.#toTree(sid, "gap", frame);
    if (arrival.kind === "fresh" && !(await this.#begin(sid, arrival.session, frame))) return;
    this.#prune(sid, arrival.session, frame.certain);
    const result = await this.#run(sid, frame);
    if (result === undefined) return;
    // Prompt nodes are never dead: if some are left out, the model has lost the session.
    if (frame.committed && result.nodes.ids.length < frame.nodes.ids.length) {
      return this.#toTree(sid, "gap", frame);
    }
    const { session } = arrival;
    const verdict = isLastStage(spec) ? await this.#verify(sid, session, frame, result) : undefined;
    if (verdict === "refused") return;
    const nodes = [...result.nodes.ids];
    this.#done.segments++;
    this.#done.nodes += nodes.length;
    await pace?.hold(nodes.length, beginMs);
    if (isFirstStage(spec) && !isLastStage(spec)) this.#toTree(sid, "credit", frame);
    // Prompt tokens are certain, so the drafter may have their features at once.
    if (frame.committed) this.#sendTaps(sid, session, result.taps);
    else session.taps.keep(result.nodes, result.taps);
    const bytes =
      verdict === undefined
        ? this.#forward(sid, frame, result)
        : this.#publishVerdict(sid, session, frame, verdict);
    const { generation, sequence: segment, committed } = frame;
    const computeMs = result.computeMs + (verdict?.headMs ?? 0);
    const work = {
      sid,
      generation,
      segment,
      nodes,
      committed,
      beginMs,
      endMs: clock.now(),
      computeMs,
      bytes,
    };
    onWork?.(work, session.spec.reports ?? false);
  }

  /** False when the stage can't begin with the rows that it should have, which the tree manager is told. */
  async #begin(sid: string, { spec }: StageSession, frame: SegmentFrame): Promise<boolean> {
    const { engine, mesh, epoch } = this.#options;
    const { generation } = frame;
    const prefix = Uint32Array.from(spec.prefix ?? []);
    this.#kept.delete(sid);
    try {
      const held = await engine.begin(sid, prefix);
      if (held === prefix.length) return true;
      this.#sessions.giveUp(sid, generation, this.#context.clock.now());
      const less: LessMessage = { generation, held };
      this.#publishKind(treeSubject(mesh, epoch, sid), "less", less);
    } catch (error) {
      if (!(error instanceof KvBudgetError)) throw error;
      this.#refuse(sid, frame, error.message);
    }
    return false;
  }

  #refuse(sid: string, { generation }: SegmentFrame, message: string): void {
    const { mesh, epoch } = this.#options;
    this.#publishKind(treeSubject(mesh, epoch, sid), "refuse", { generation, message });
  }

  /** Undefined when the session was refused for want of KV memory. */
  async #run(sid: string, frame: SegmentFrame): Promise<StageResult | undefined> {
    if (frame.nodes.ids.length === 0) {
      return { nodes: EMPTY_NODES, hidden: new Float32Array(0), taps: [], computeMs: 0 };
    }
    const { committed, nodes, rows } = frame;
    try {
      const hidden = rows === undefined ? {} : { hidden: rows };
      return await this.#options.engine.run({ session: sid, nodes, committed, ...hidden });
    } catch (error) {
      if (!(error instanceof KvBudgetError)) throw error;
      this.#refuse(sid, frame, error.message);
      return undefined;
    }
  }

  /** This and the other publishers give the size of what they sent. */
  #forward(sid: string, frame: SegmentFrame, result: StageResult): number {
    const { mesh, epoch, spec, hidden, dtype } = this.#options;
    const { nodes } = result;
    const rows = nodes.ids.length === 0 ? { width: 0 } : { rows: result.hidden, width: hidden };
    const { rows: _, ...passedOn } = frame;
    const { headers, body } = encodeSegment({ ...passedOn, nodes, ...rows }, dtype);
    return this.#publish(stageSubject(mesh, epoch, spec.index + 1, sid), body, headers);
  }

  /** `refused`: the session's grammar can't be used, and it was told. */
  async #verify(
    sid: string,
    session: StageSession,
    frame: SegmentFrame,
    result: StageResult,
  ): Promise<Verdict | "refused"> {
    const { clock } = this.#context;
    try {
      return await verdictOn(sid, session, frame, result, { ...this.#options, clock });
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      this.#refuse(sid, frame, `the answer's grammar can't be followed: ${error.message}`);
      return "refused";
    }
  }

  #publishVerdict(sid: string, session: StageSession, frame: SegmentFrame, verdict: Verdict): number {
    const { walk, logprobs } = verdict;
    if (walk === undefined) {
      const { certain } = session.verification;
      const ack = { generation: frame.generation, segment: frame.sequence, certain };
      return this.#publishKind(treeSubject(this.#options.mesh, this.#options.epoch, sid), "ack", ack);
    }
    const bytes = this.#publishCommit(sid, frame, walk, logprobs);
    this.#accept(sid, session, walk);
    return bytes;
  }

  #publishCommit(sid: string, frame: SegmentFrame, walk: Walk, logprobs: Verdict["logprobs"]): number {
    const { mesh, epoch, textOf } = this.#options;
    const { generation, sequence: segment } = frame;
    const text = textOf?.(walk.tokens) ?? "";
    const commit: CommitMessage = {
      epoch,
      generation,
      segment,
      position: walk.position,
      nodes: [...walk.nodes],
      tokens: [...walk.tokens],
      text,
      ...(logprobs && { logprobs: [...logprobs] }),
    };
    return this.#publish(sessionSubject(mesh, sid, "commit"), encodeJson(commit));
  }

  /** Also while the model computes: the drafter waits for these features. */
  #hearCommit(message: Message): void {
    const sid = parseSession(message.subject)?.sid;
    if (sid === undefined) return;
    try {
      const commit = parseJson(commitSchema, message);
      const session = this.#sessions.get(sid);
      if (commit.epoch !== this.#options.epoch || session?.generation !== commit.generation) return;
      const { nodes, tokens, position } = commit;
      this.#accept(sid, session, { nodes: nodes as NodeId[], tokens: tokens as TokenId[], position });
    } catch (error) {
      dropMalformed(this.#context.log, error);
    }
  }

  /** Sends the accepted nodes' features, and lets the model's cache follow unless it is to wait. */
  #accept(sid: string, session: StageSession, walk: Walk): void {
    this.#sendTaps(sid, session, session.taps.take(walk.nodes, this.#options.spec.taps));
    session.commits.hold(walk);
    if (session.spec.prunes) this.#prune(sid, session, Number.POSITIVE_INFINITY);
  }

  /** Lets the model's cache follow, before its next run, the commits up to `certain` certain tokens. */
  #prune(sid: string, session: StageSession, certain: number): void {
    for (const { accepted, next } of session.commits.knownAt(certain)) {
      this.#options.engine.commit(sid, accepted, next).catch((error: unknown) => {
        this.#context.after(0, () => {
          throw error;
        });
      });
    }
  }

  #sendTaps(sid: string, { generation, spec }: StageSession, taps: readonly TapRows[]): void {
    if (spec.features === false) return;
    const { mesh, epoch, hidden: width, dtype } = this.#options;
    for (const { layer, positions, rows } of taps) {
      if (positions.length === 0) continue;
      const frame = { kind: "features", epoch, generation, layer, positions, rows, width } as const;
      const { headers, body } = encodeFeatures(frame, dtype);
      this.#context.transport.publish(draftSubject(mesh, epoch, sid), body, headers);
    }
  }

  #toTree(sid: string, kind: MessageKind, frame: SegmentFrame): void {
    const { mesh, epoch } = this.#options;
    const progress = { generation: frame.generation, segment: frame.sequence };
    this.#publishKind(treeSubject(mesh, epoch, sid), kind, progress);
  }

  #publishKind(subject: string, kind: MessageKind, value: unknown): number {
    return this.#publish(subject, encodeJson(value), { "Flow-Kind": kind });
  }

  #publish(subject: string, body: Uint8Array, headers: Headers = {}): number {
    this.#context.transport.publish(subject, body, headers);
    return messageBytes(subject, body, headers);
  }

  async #forget(sid: string): Promise<void> {
    this.#sessions.forget(sid);
    this.#kept.delete(sid);
    this.#options.masks?.release(sid);
    await this.#options.engine.release(sid);
  }

  #reapLater(): void {
    this.#context.after(REAP_EVERY_MS, async () => {
      const nowMs = this.#context.clock.now();
      const tooLong = [...this.#kept].filter(([, sinceMs]) => nowMs - sinceMs > KEPT_MS_MAX);
      const idle = [...this.#sessions.idle(nowMs), ...tooLong.map(([sid]) => sid)];
      for (const sid of idle) await this.#forget(sid);
      this.#reapLater();
    });
  }
}
