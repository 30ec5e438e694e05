import type { Epoch, NodeId, TokenId } from "../decoding/ids.ts";
import { EMPTY_NODES, type Walk } from "../decoding/segment.ts";
import { KvBudgetError } from "../models/kv-cache.ts";
import type { StageEngine, StageResult, TapRows } from "../models/stage-engine.ts";
import { isFirstStage, isLastStage, type StageSpec } from "../models/stage-spec.ts";
import { FrameError } from "../transport/errors.ts";
import { decodeSegment, encodeFeatures, encodeSegment, type SegmentFrame } from "../transport/frame.ts";
import {
  ANY,
  draftSubject,
  eventSubject,
  parseSession,
  sessionSubject,
  stageSubject,
  treeSubject,
} from "../transport/subjects.ts";
import type { Message } from "../transport/transport.ts";
import { addressOf } from "./address.ts";
import {
  type CommitMessage,
  commitSchema,
  encodeJson,
  MessageError,
  type MessageKind,
  parseJson,
} from "./messages.ts";
import type { Actor, ActorContext, ActorDefinition } from "./runtime/actor.ts";
import { type StageSession, StageSessions } from "./stage-sessions.ts";

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
}

/** How often a stage looks for sessions whose end was lost. */
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
    if (address?.to === "session") await this.#forget(address.sid);
    else if (address?.to === "stage") {
      const frame = this.#guard(message.subject, () => decodeSegment(message));
      if (frame !== undefined) await this.#segment(address.sid, frame);
    }
  }

  /** What can't be read is somebody else's mistake: it is dropped, and told. */
  #guard<T>(subject: string, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof FrameError || error instanceof MessageError)) throw error;
      this.#context.log.write("warn", "message dropped", { subject, why: error.message });
      return undefined;
    }
  }

  async #segment(sid: string, frame: SegmentFrame): Promise<void> {
    const { epoch, engine, spec } = this.#options;
    if (frame.epoch !== epoch) return;
    const arrival = this.#sessions.arrive(sid, frame, this.#context.clock.now());
    if (arrival.kind === "stale") return;
    if (arrival.kind === "gap") return this.#toTree(sid, "gap", frame);
    if (arrival.kind === "fresh") await engine.release(sid);
    const result = await this.#run(sid, frame);
    if (result === undefined) return;
    // Prompt nodes are never dead: if some are left out, the model has lost the session.
    if (frame.committed && result.nodes.ids.length < frame.nodes.ids.length) {
      return this.#toTree(sid, "gap", frame);
    }
    if (isFirstStage(spec) && !isLastStage(spec)) this.#toTree(sid, "credit", frame);
    // Prompt tokens are certain, so the drafter may have their features at once.
    if (frame.committed) this.#sendTaps(sid, frame.generation, result.taps);
    else arrival.session.taps.keep(result.nodes, result.taps);
    if (isLastStage(spec)) await this.#verify(sid, arrival.session, frame, result);
    else this.#forward(sid, frame, result);
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
      const refusal = { generation: frame.generation, message: error.message };
      this.#publishKind(treeSubject(this.#options.mesh, this.#options.epoch, sid), "refuse", refusal);
      return undefined;
    }
  }

  #forward(sid: string, frame: SegmentFrame, result: StageResult): void {
    const { mesh, epoch, spec, hidden, dtype } = this.#options;
    const { nodes } = result;
    const rows = nodes.ids.length === 0 ? { width: 0 } : { rows: result.hidden, width: hidden };
    const { rows: _, ...passedOn } = frame;
    const { headers, body } = encodeSegment({ ...passedOn, nodes, ...rows }, dtype);
    this.#context.transport.publish(stageSubject(mesh, epoch, spec.index + 1, sid), body, headers);
  }

  async #verify(sid: string, session: StageSession, frame: SegmentFrame, result: StageResult): Promise<void> {
    const { engine, hidden } = this.#options;
    const { sampling, prefillEnd } = session.spec;
    const target = (index: number, position: number) =>
      engine.nextToken(result.hidden.subarray(index * hidden, (index + 1) * hidden), sampling, position);
    const { nodes } = result;
    const last = nodes.ids.length - 1;
    let walk: Walk | undefined;
    if (!frame.committed) walk = await session.verification.advance(nodes, target);
    else if (nodes.positions[last] === prefillEnd)
      walk = await session.verification.begin(nodes, last, target);
    if (walk === undefined) {
      const { certain } = session.verification;
      const ack = { generation: frame.generation, segment: frame.sequence, certain };
      this.#publishKind(treeSubject(this.#options.mesh, this.#options.epoch, sid), "ack", ack);
      return;
    }
    this.#publishCommit(sid, frame, walk);
    this.#accept(sid, session, walk.nodes, walk.tokens.at(-1));
  }

  #publishCommit(sid: string, frame: SegmentFrame, walk: Walk): void {
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
    };
    this.#context.transport.publish(sessionSubject(mesh, sid, "commit"), encodeJson(commit));
  }

  /** Also while the model computes: the drafter waits for these features. */
  #hearCommit(message: Message): void {
    const sid = parseSession(message.subject)?.sid;
    if (sid === undefined) return;
    this.#guard(message.subject, () => {
      const commit = parseJson(commitSchema, message);
      const session = this.#sessions.get(sid);
      if (commit.epoch !== this.#options.epoch || session?.generation !== commit.generation) return;
      this.#accept(sid, session, commit.nodes as NodeId[], commit.tokens.at(-1) as TokenId | undefined);
    });
  }

  /** Sends the accepted nodes' features, and lets the model's cache follow before its next run. */
  #accept(sid: string, session: StageSession, nodes: readonly NodeId[], next: TokenId | undefined): void {
    if (next === undefined) return;
    this.#sendTaps(sid, session.generation, session.taps.take(nodes, this.#options.spec.taps));
    this.#options.engine.commit(sid, nodes, next).catch((error: unknown) => {
      this.#context.after(0, () => {
        throw error;
      });
    });
  }

  #sendTaps(sid: string, generation: number, taps: readonly TapRows[]): void {
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

  #publishKind(subject: string, kind: MessageKind, value: unknown): void {
    this.#context.transport.publish(subject, encodeJson(value), { "Flow-Kind": kind });
  }

  async #forget(sid: string): Promise<void> {
    this.#sessions.forget(sid);
    await this.#options.engine.release(sid);
  }

  #reapLater(): void {
    this.#context.after(REAP_EVERY_MS, async () => {
      for (const sid of this.#sessions.idle(this.#context.clock.now())) await this.#forget(sid);
      this.#reapLater();
    });
  }
}
