import type { PipelineCosts } from "../decoding/costs.ts";
import type { Epoch, NodeId } from "../decoding/ids.ts";
import type { PositionLogprobs } from "../decoding/log-probs.ts";
import type { Policy } from "../decoding/policies/policy.ts";
import { type FlowEffect, SessionFlow, toNodes, toTokens } from "../decoding/session-flow.ts";
import { eventSubject, sessionSubject, treeSubject } from "../transport/subjects.ts";
import type { Message, Subscription } from "../transport/transport.ts";
import { addressOf } from "./address.ts";
import type { DemandCount } from "./demand-count.ts";
import { drafterActorName } from "./drafter.ts";
import type { KeptPrefixes } from "./kept-prefixes.ts";
import { type Plan, placementSchema } from "./mesh/records.ts";
import {
  ackSchema,
  actorUpSchema,
  cancelSchema,
  candidatesSchema,
  commitSchema,
  dropMalformed,
  type EndMessage,
  encodeJson,
  firstGeneration,
  type JournalMessage,
  lessSchema,
  type MessageKind,
  type OpenMessage,
  type ProgressMessage,
  parseJson,
  progressSchema,
  refuseSchema,
  type SessionAccount,
} from "./messages.ts";
import type { PrefillTurns } from "./prefill-turns.ts";
import { ReplayPatience } from "./replay-patience.ts";
import type { Actor, ActorContext, ActorDefinition } from "./runtime/actor.ts";
import { lastPositionOf, SessionOutlet } from "./session-outlet.ts";

/** Where the session's segments go. */
export interface TreePipeline {
  readonly epoch: Epoch;
  readonly stageCount: number;
  readonly hasDrafter: boolean;
}

export interface TreeManagerOptions {
  readonly mesh: string;
  readonly sid: string;
  readonly request: OpenMessage;
  /** To begin with; `event.placement` brings newer ones. */
  readonly pipeline: TreePipeline;
  /** The session's policy, made for so many stages. */
  readonly makePolicy: (stageCount: number) => Policy;
  /** The newest measured t(n) of the stages. */
  readonly costs: () => PipelineCosts;
  /** Prompt tokens a segment, at most, so that a chunk's hidden rows stay under 256 KiB. */
  readonly chunkNodes: number;
  /** What stages and drafter are expected to have rows of; shared by all sessions. */
  readonly kept: KeptPrefixes;
  /** Of all sessions that may have to prefill again at the same time. */
  readonly turns: PrefillTurns;
  /** Of all sessions of the tree host. */
  readonly demand: DemandCount;
  /** Called once when the session is over; the owner then stops the actor. */
  readonly onEnd: () => void;
}

/** An expansion that takes longer is not waited for. */
const DRAFT_LATE_MS = 1000;
/** With segments in flight and no sign of life for this long, something was lost: replay. */
const STALL_MS = 10_000;
/** How long the journal of an ended session can still be asked for. */
const LINGER_MS = 5000;
/** How long a session waits for a host when there is none to run some of the layers. */
const SHORT_MS = 10_000;
/** Actors that start at about the same time cause one replay. */
const STARTED_MS = 20;
/** After the server was away, others may need a moment longer to come back to it. */
const RECONNECTED_MS = 500;

/** Owns one session: the draft tree, the policy that cuts segments from it, and the accepted tokens. */
export function treeManagerActor(options: TreeManagerOptions): ActorDefinition {
  return {
    name: `tree-${options.sid}`,
    description: "tree manager of one session",
    start: (context) => new TreeManager(options, context),
  };
}

class TreeManager implements Actor {
  readonly #options: TreeManagerOptions;
  readonly #context: ActorContext;
  readonly #outlet: SessionOutlet;
  readonly #flow: SessionFlow;
  #pipeline: TreePipeline;
  #policy: Policy;
  #inbox: Subscription;
  readonly #connection: Subscription;
  #short: Subscription | undefined;
  #started: Subscription | undefined;
  /** One for each token committed here, where the session asked for them. */
  readonly #logprobs: PositionLogprobs[] = [];
  #stall: Subscription | undefined;
  #draftTimer: Subscription | undefined;
  #wakeTimer: Subscription | undefined;
  readonly #patience: ReplayPatience;
  #committedAtMs: number;
  /** Position of the newest commit: what came with earlier ones, the drafter has had. */
  #committedAt: number | undefined;
  /** The last generation whose prompt is known to have gone through. */
  #prefilledGeneration = -1;
  /** Until it may prefill again, nothing is sent. */
  #waitsForTurn = false;
  /** Where it is to go on at its turn; absent: where it was. */
  #movedTo: (TreePipeline & { readonly policy: Policy }) | undefined;
  #ended: EndMessage | undefined;
  readonly #leaveDemand: () => void;

  constructor(options: TreeManagerOptions, context: ActorContext) {
    this.#options = options;
    this.#context = context;
    const { mesh, sid, request, pipeline } = options;
    this.#outlet = new SessionOutlet({ mesh, sid, request, transport: context.transport });
    this.#pipeline = this.#drafted(pipeline);
    this.#policy = options.makePolicy(pipeline.stageCount);
    this.#patience = new ReplayPatience(context.clock);
    this.#committedAtMs = context.clock.now();
    const known = [...request.prompt, ...request.accepted];
    this.#flow = new SessionFlow({
      prompt: toTokens(request.prompt),
      reused: request.reuse === false ? 0 : options.kept.reusable(pipeline.epoch, known, this.#wantsFeatures),
      rule: { stopTokens: request.stopTokens, lastPosition: lastPositionOf(request) },
      accepted: toTokens(request.accepted),
      generation: firstGeneration(request.attempt),
      policy: this.#policy,
      stageCount: pipeline.stageCount,
      chunkNodes: options.chunkNodes,
      hasDrafter: this.#pipeline.hasDrafter,
      costs: options.costs,
      now: () => context.clock.now(),
    });
    this.#leaveDemand = options.demand.followFlow(this.#flow);
    for (const what of ["commit", "cancel", "journal"] as const) {
      context.listen(sessionSubject(mesh, sid, what), { lane: "urgent" });
    }
    this.#inbox = context.listen(treeSubject(mesh, pipeline.epoch, sid), { lane: "normal" });
    context.listen(eventSubject(mesh, "up"), { lane: "normal" });
    context.listen(eventSubject(mesh, "placement"), { lane: "normal" });
    context.after(0, () => this.#apply(this.#flow.start()));
    this.#connection = context.transport.onStatus((status) => {
      if (status === "connected" && this.#ended === undefined) {
        this.#replaySoon(RECONNECTED_MS, "the server was away");
      }
    });
  }

  account(): SessionAccount {
    const { policy = "" } = this.#options.request;
    const { commits, acceptedTokens } = this.#flow.stats;
    return { policy, ...this.#tokenCounts, commits, acceptedTokens };
  }

  get #tokenCounts() {
    const promptTokens = this.#options.request.prompt.length;
    return { promptTokens, completionTokens: this.#flow.journal.length - promptTokens };
  }

  stop(): void {
    this.#connection.unsubscribe();
    this.#leaveDemand();
    this.#options.turns.release(this.#options.sid);
  }

  receive(message: Message): void {
    try {
      this.#handle(message);
    } catch (error) {
      dropMalformed(this.#context.log, error);
    }
  }

  #handle(message: Message): void {
    const address = addressOf(message.subject);
    if (address?.to === "session" && address.verb === "journal") {
      const position = this.#options.request.prompt.length;
      const tokens = [...this.#flow.journal.slice(position)];
      const logprobs = this.#options.request.topLogprobs === undefined ? undefined : this.#logprobs;
      const journal: JournalMessage = { position, tokens, logprobs, end: this.#ended };
      message.respond(encodeJson(journal));
    } else if (this.#ended !== undefined) return;
    else if (address?.to === "event" && address.kind === "placement") this.#placed(message);
    else if (address?.to === "event") this.#restarted(message);
    else if (address?.to === "tree") this.#addressed(message);
    else if (address?.to === "session" && address.verb === "commit") this.#committed(message);
    else this.#cancelled(message);
  }

  #committed(message: Message): void {
    const commit = parseJson(commitSchema, message);
    if (commit.epoch !== this.#pipeline.epoch) return;
    this.#patience.renew();
    this.#committedAtMs = this.#context.clock.now();
    if (!this.#waitsForTurn) this.#options.turns.release(this.#options.sid);
    const { generation, segment, position, logprobs = [] } = commit;
    const walk = { nodes: toNodes(commit.nodes), tokens: toTokens(commit.tokens), position };
    const known = this.#flow.journal.length;
    const effects = this.#flow.commit({ generation, segment, ...walk });
    if (generation === this.#flow.generation && this.#flow.journal.length > position) {
      this.#committedAt = position;
      if (this.#prefilledGeneration < generation) this.#remember();
      this.#prefilledGeneration = generation;
    }
    this.#logprobs.push(...logprobs.slice(known - position, this.#flow.journal.length - position));
    this.#apply(effects);
  }

  /** Whether stages send the mesh's drafter this session's features. */
  get #wantsFeatures(): boolean {
    return this.#pipeline.hasDrafter && this.#options.request.drafter === undefined;
  }

  /** Others that begin alike need not compute what is certain of this session. */
  #remember(): void {
    if (this.#committedAt === undefined) return;
    const tokens = this.#flow.journal.slice(0, this.#committedAt);
    this.#options.kept.add(this.#pipeline.epoch, tokens, this.#wantsFeatures);
  }

  #cancelled(message: Message): void {
    const { reason } = parseJson(cancelSchema, message);
    this.#end({ reason: "cancelled", message: reason });
  }

  /** A stage or the drafter has started anew: what it held of this session is gone. */
  #restarted(message: Message): void {
    const { name, epoch } = parseJson(actorUpSchema, message);
    if (/^drafter\b/.test(name) && name !== drafterActorName(this.#options.request.drafter)) return;
    if (epoch === this.#pipeline.epoch) this.#replaySoon(STARTED_MS, `${name} started`);
  }

  #replaySoon(ms: number, why: string): void {
    this.#started ??= this.#context.after(ms, () => {
      this.#started = undefined;
      this.#prefillInTurn(why);
    });
  }

  /** For what makes all sessions of the tree host prefill again. */
  #prefillInTurn(why: string): void {
    const { turns, sid } = this.#options;
    this.#waitsForTurn = true;
    for (const timer of this.#flowTimers()) timer?.unsubscribe();
    turns.wait(sid, this.#committedAtMs, () => this.#context.after(0, () => this.#prefillAgain(why)));
  }

  #prefillAgain(why: string): void {
    this.#waitsForTurn = false;
    const moved = this.#movedTo;
    this.#movedTo = undefined;
    if (this.#ended !== undefined) return;
    if (moved !== undefined) {
      this.#apply(this.#flow.move(moved));
      return;
    }
    this.#replay(why, false);
  }

  #flowTimers() {
    return [this.#stall, this.#draftTimer, this.#wakeTimer];
  }

  #placed(message: Message): void {
    const { epoch, plan, short } = parseJson(placementSchema, message);
    if (epoch < this.#pipeline.epoch || plan === undefined) return;
    if (short === undefined) {
      this.#short?.unsubscribe();
      this.#short = undefined;
    } else {
      this.#short ??= this.#context.after(SHORT_MS, () => this.#end({ reason: "error", message: short }));
    }
    if (epoch > this.#pipeline.epoch) this.#move(epoch as Epoch, plan);
  }

  /** The pipeline is elsewhere now. What comes from the former one is not listened to any more. */
  #move(epoch: Epoch, plan: Plan): void {
    const { mesh, sid, makePolicy } = this.#options;
    const stageCount = plan.stages.length;
    this.#pipeline = this.#drafted({ epoch, stageCount, hasDrafter: plan.drafter !== undefined });
    this.#inbox.unsubscribe();
    this.#inbox = this.#context.listen(treeSubject(mesh, epoch, sid), { lane: "normal" });
    this.#policy = makePolicy(stageCount);
    this.#patience.renew();
    this.#movedTo = { ...this.#pipeline, policy: this.#policy };
    this.#prefillInTurn(`epoch ${epoch} is in force`);
  }

  /** As the session sees it, which may want nobody to guess, or somebody of its own. */
  #drafted(pipeline: TreePipeline): TreePipeline {
    const { drafter } = this.#options.request;
    return drafter === undefined ? pipeline : { ...pipeline, hasDrafter: drafter !== "none" };
  }

  #addressed(message: Message): void {
    const kind = message.headers["Flow-Kind"] as MessageKind | undefined;
    if (kind === "candidates") {
      const found = parseJson(candidatesSchema, message);
      this.#apply(this.#flow.candidates({ ...found, base: found.base as NodeId }));
    } else if (kind === "refuse") {
      this.#end({ reason: "error", message: parseJson(refuseSchema, message).message });
    } else if (kind === "less") {
      this.#fallBack(message);
    } else if (kind === "ack") {
      const { generation, segment, certain } = parseJson(ackSchema, message);
      this.#apply(this.#flow.acknowledge(generation, segment, certain));
    } else {
      this.#progressed(kind, parseJson(progressSchema, message));
    }
  }

  #progressed(kind: MessageKind | undefined, { generation, segment }: ProgressMessage): void {
    if (kind === "credit") this.#apply(this.#flow.credit(generation, segment));
    else if (kind === "gap" && generation === this.#flow.generation && !this.#waitsForTurn)
      this.#replay(`segment ${segment} is missing`);
  }

  #fallBack(message: Message): void {
    const { generation, held } = parseJson(lessSchema, message);
    const { sid, kept } = this.#options;
    const { reused, journal } = this.#flow;
    if (generation !== this.#flow.generation || this.#waitsForTurn) return;
    this.#context.log.write("info", "rows of an earlier session are gone", { sid, reused, held });
    kept.shorten(journal.slice(0, reused), held);
    this.#apply(this.#flow.fallBack(generation, held));
  }

  #replay(why: string, isPipelinesFault = true): void {
    const { log } = this.#context;
    log.write("warn", "replaying the session", { sid: this.#options.sid, why });
    if (!this.#patience.allows(isPipelinesFault)) {
      this.#end({ reason: "error", message: `the pipeline does not answer: ${why}` });
      return;
    }
    this.#apply(this.#flow.replay());
  }

  #apply(effects: readonly FlowEffect[]): void {
    for (const effect of effects) this.#perform(effect);
    this.#watch();
  }

  #perform(effect: FlowEffect): void {
    if (effect.type === "end") this.#end({ reason: effect.reason });
    else if (effect.type === "segment") this.#sendSegment(effect);
    else if (effect.type === "wake") this.#wakeAt(effect.atMs);
    else if (!this.#pipeline.hasDrafter) return;
    else if (effect.type === "begin") this.#outlet.begin(this.#pipeline.epoch, effect);
    else this.#expand(effect);
  }

  #wakeAt(atMs: number): void {
    this.#wakeTimer?.unsubscribe();
    const restMs = Math.max(0, atMs - this.#context.clock.now());
    this.#wakeTimer = this.#context.after(restMs, () => this.#apply(this.#flow.wake()));
  }

  #expand(effect: Extract<FlowEffect, { type: "expand" }>): void {
    this.#outlet.expand(this.#pipeline.epoch, effect);
    this.#draftTimer?.unsubscribe();
    const late = () => this.#apply(this.#flow.draftLate(effect.base));
    this.#draftTimer = this.#context.after(DRAFT_LATE_MS, late);
  }

  #sendSegment(effect: Extract<FlowEffect, { type: "segment" }>): void {
    const { journal, reused } = this.#flow;
    const session = { journal, reused, prunes: this.#policy.prunes, features: this.#wantsFeatures };
    this.#outlet.segment(this.#pipeline.epoch, effect, session);
  }

  /** Any event moves the deadline: the pipeline always owes this session something until it ends. */
  #watch(): void {
    this.#stall?.unsubscribe();
    this.#stall = undefined;
    if (this.#ended !== undefined || this.#waitsForTurn) return;
    this.#stall = this.#context.after(STALL_MS, () => this.#replay(`no answer for ${STALL_MS / 1000} s`));
  }

  #end(end: Pick<EndMessage, "reason" | "message">): void {
    if (this.#ended !== undefined) return;
    for (const timer of [...this.#flowTimers(), this.#short, this.#started]) timer?.unsubscribe();
    const { mesh, sid, request, turns, onEnd } = this.#options;
    turns.release(sid);
    this.#leaveDemand();
    if (end.reason !== "error") this.#remember();
    const { replays: _, treeSegments: __, treeNodes: ___, ...told } = this.#flow.stats;
    this.#ended = { ...end, attempt: request.attempt, stats: { ...this.#tokenCounts, ...told } };
    this.#context.transport.publish(sessionSubject(mesh, sid, "end"), encodeJson(this.#ended));
    this.#context.after(LINGER_MS, onEnd);
  }
}
