import { PipelineCosts, type SegmentCosts } from "../decoding/costs.ts";
import type { Epoch } from "../decoding/ids.ts";
import type { Policy, PolicySetting } from "../decoding/policies/policy.ts";
import { PolicyError } from "../decoding/policies/registry.ts";
import { ANY, eventSubject, parseSession, sessionSubject } from "../transport/subjects.ts";
import type { Message } from "../transport/transport.ts";
import { addressOf } from "./address.ts";
import { DemandCount } from "./demand-count.ts";
import { KeptPrefixes } from "./kept-prefixes.ts";
import { type Plan, placementSchema } from "./mesh/records.ts";
import {
  actorUpSchema,
  dropMalformed,
  type EndMessage,
  encodeJson,
  MessageError,
  type OpenMessage,
  type OpenReply,
  openSchema,
  parseJson,
  stageCostsSchema,
} from "./messages.ts";
import { PrefillTurns } from "./prefill-turns.ts";
import type { Actor, ActorContext, ActorDefinition, ActorRef } from "./runtime/actor.ts";
import { spawn } from "./runtime/spawn.ts";
import { DEFAULT_SUPERVISION } from "./runtime/supervision.ts";
import { TREE_HOST_SESSIONS_MAX } from "./session-port.ts";
import { treeManagerActor } from "./tree-manager.ts";

export interface TreeHostOptions {
  readonly mesh: string;
  /** The machine it runs on; it serves while a placement names that. Absent: it always serves. */
  readonly host?: string;
  /** This and the next two, `costs` and `sharesCores`: to begin with; `event.placement` brings newer ones. */
  readonly epoch: Epoch;
  /** 0 while nothing is placed yet. */
  readonly stageCount: number;
  readonly hasDrafter: boolean;
  readonly chunkNodes: number;
  readonly contextLength: number;
  readonly defaultPolicy: string;
  /** Makes a policy for a new session; throws PolicyError when `spec` names none. */
  readonly makePolicy: (spec: string, setting: PolicySetting) => Policy;
  /** Stages take turns on the same cores. */
  readonly sharesCores?: boolean;
  /** t(n) of each stage as measured at its start; `event.costs` brings newer ones. */
  readonly costs: readonly SegmentCosts[];
}

/** The part of the options that another placement replaces. */
type TreePlace = Pick<TreeHostOptions, "epoch" | "stageCount" | "hasDrafter" | "costs" | "sharesCores">;

const DEMAND_EVERY_MS = 2000;
/** A tree manager owns its session's tokens: starting it anew would begin the answer again. */
const NO_RESTART = { ...DEFAULT_SUPERVISION, restartsMax: 0 };

/** Starts a tree manager for each session that a gateway opens. */
export function treeHostActor(options: TreeHostOptions): ActorDefinition {
  return {
    name: "tree-host",
    description: "starts a tree manager for each session",
    start: (context) => new TreeHost(options, context),
  };
}

interface TreeSession {
  readonly ref: ActorRef;
  readonly attempt: number;
}

/** What a plan means for the tree host. */
export function treePlace(epoch: Epoch, plan: Plan): TreePlace {
  const { stages, drafter, sharesCores } = plan;
  const costs = stages.map((stage) => stage.costs ?? UNKNOWN_COSTS);
  return { epoch, stageCount: stages.length, hasDrafter: drafter !== undefined, costs, sharesCores };
}

/** Until a stage has told its own. */
const UNKNOWN_COSTS: SegmentCosts = [{ nodes: 1, ms: 1 }];

class TreeHost implements Actor {
  readonly #options: TreeHostOptions;
  readonly #context: ActorContext;
  readonly #sessions = new Map<string, TreeSession>();
  readonly #turns: PrefillTurns;
  readonly #kept: KeptPrefixes;
  readonly #demand = new DemandCount();
  #demandToldAtMs: number;
  #place: TreePlace;
  #serves = true;
  #tables: SegmentCosts[];
  #costs: PipelineCosts;

  constructor(options: TreeHostOptions, context: ActorContext) {
    this.#options = options;
    this.#context = context;
    this.#turns = new PrefillTurns(context.clock);
    this.#place = options;
    this.#kept = new KeptPrefixes(options.epoch);
    this.#demandToldAtMs = context.clock.now();
    this.#tables = [...options.costs];
    this.#costs = new PipelineCosts(this.#tables);
    // Not as a queue: a tree host that is gone, and the server does not know yet, would get its share.
    context.listen(sessionSubject(options.mesh, ANY, "open"), { lane: "normal" });
    context.listen(eventSubject(options.mesh, "costs"), { lane: "normal" });
    context.listen(eventSubject(options.mesh, "placement"), { lane: "normal" });
    context.listen(eventSubject(options.mesh, "up"), { lane: "normal" });
    context.after(DEMAND_EVERY_MS, () => this.#tellDemand());
  }

  async receive(message: Message): Promise<void> {
    const address = addressOf(message.subject);
    if (address?.to === "event") {
      try {
        if (address.kind === "placement") this.#follow(message);
        else if (address.kind === "up") this.#restarted(message);
        else this.#refreshCosts(message);
      } catch (error) {
        dropMalformed(this.#context.log, error);
      }
      return;
    }
    const sid = parseSession(message.subject)?.sid;
    if (sid === undefined) return;
    const reply = await this.#open(sid, message);
    if (reply !== undefined) message.respond(encodeJson(reply));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map(({ ref }) => ref.stop()));
  }

  /** Placements are made for what sessions do. */
  #tellDemand(): void {
    const { transport, clock } = this.#context;
    const nowMs = clock.now();
    const demand = this.#demand.take(nowMs - this.#demandToldAtMs);
    this.#demandToldAtMs = nowMs;
    if (demand !== undefined) {
      transport.publish(eventSubject(this.#options.mesh, "demand"), encodeJson(demand));
    }
    this.#context.after(DEMAND_EVERY_MS, () => this.#tellDemand());
  }

  #refreshCosts(message: Message): void {
    const { epoch, stage, costs } = parseJson(stageCostsSchema, message);
    if (epoch !== this.#place.epoch || stage >= this.#tables.length) return;
    this.#tables[stage] = costs;
    this.#costs = new PipelineCosts(this.#tables);
  }

  /** What it had rows of is gone. */
  #restarted(message: Message): void {
    const { epoch } = parseJson(actorUpSchema, message);
    if (epoch === this.#place.epoch) this.#kept.clear();
  }

  #follow(message: Message): void {
    const { epoch, plan } = parseJson(placementSchema, message);
    if (epoch <= this.#place.epoch || plan === undefined) return;
    const { host } = this.#options;
    this.#serves = host === undefined || plan.tree === host;
    this.#place = treePlace(epoch as Epoch, plan);
    this.#kept.clear(epoch as Epoch);
    this.#tables = [...this.#place.costs];
    this.#costs = new PipelineCosts(this.#tables);
  }

  /** Undefined when another tree host has to answer. */
  async #open(sid: string, message: Message): Promise<OpenReply | undefined> {
    if (!this.#serves) return undefined;
    if (this.#sessions.size >= TREE_HOST_SESSIONS_MAX) {
      return refuse("busy", `all ${TREE_HOST_SESSIONS_MAX} sessions are in use; try again in a moment`);
    }
    if (this.#place.stageCount === 0) return undefined;
    try {
      const request = parseJson(openSchema, message);
      if (request.epoch > this.#place.epoch) return undefined;
      const known = this.#sessions.get(sid);
      if (known !== undefined && known.attempt >= request.attempt) {
        return refuse("invalid", `session ${sid} exists already`);
      }
      const makePolicy = (stageCount: number) => this.#policyFor(request, stageCount);
      // One that can't be made is refused here, not in the tree manager.
      makePolicy(this.#place.stageCount);
      const room = this.#options.contextLength - request.prompt.length;
      if (request.prompt.length === 0 || room < 1) {
        return refuse("invalid", `a prompt has 1 to ${this.#options.contextLength - 1} tokens`);
      }
      await known?.ref.stop();
      const { policy = this.#options.defaultPolicy } = request;
      const resolved = { ...request, policy, maxTokens: Math.min(request.maxTokens, room) };
      await this.#spawn(sid, resolved, makePolicy);
      return {};
    } catch (error) {
      if (!(error instanceof MessageError || error instanceof PolicyError)) throw error;
      return refuse("invalid", error.message);
    }
  }

  #policyFor(request: OpenMessage, stageCount: number): Policy {
    const { makePolicy, defaultPolicy } = this.#options;
    const { sharesCores = false } = this.#place;
    return makePolicy(request.policy ?? defaultPolicy, { stageCount, costs: this.#costs, sharesCores });
  }

  async #spawn(sid: string, request: OpenMessage, makePolicy: (stages: number) => Policy): Promise<void> {
    const { mesh, chunkNodes } = this.#options;
    const { transport, clock, log } = this.#context;
    const costs = () => this.#costs;
    const onEnd = () => {
      this.#forget(sid, request.attempt).catch((error: unknown) =>
        log.write("error", "tree manager did not stop", { sid, error }),
      );
    };
    const pipeline = this.#place;
    const [turns, demand, kept] = [this.#turns, this.#demand, this.#kept];
    const manager = {
      mesh,
      sid,
      request,
      makePolicy,
      pipeline,
      costs,
      chunkNodes,
      kept,
      turns,
      demand,
      onEnd,
    };
    const supervised = { transport, clock, log, supervision: NO_RESTART, metadata: () => ({ mesh }) };
    const ref = await spawn(treeManagerActor(manager), supervised);
    this.#sessions.set(sid, { ref, attempt: request.attempt });
    ref.ended.then((error) => error && this.#crashed(sid, request, error), onEnd);
  }

  /** Its journal is gone, so the session can't be replayed: it ends with an error, everywhere. */
  #crashed(sid: string, request: OpenMessage, error: Error): void {
    this.#sessions.delete(sid);
    const { transport, log } = this.#context;
    log.write("error", "a tree manager crashed", { sid, error: error.message });
    const end: EndMessage = {
      reason: "error",
      message: "the session's tree manager crashed",
      attempt: request.attempt,
      stats: {
        promptTokens: request.prompt.length,
        completionTokens: 0,
        commits: 0,
        draftTokens: 0,
        acceptedTokens: 0,
        segments: 0,
        misses: 0,
        cachedTokens: 0,
      },
    };
    transport.publish(sessionSubject(this.#options.mesh, sid, "end"), encodeJson(end));
  }

  async #forget(sid: string, attempt: number): Promise<void> {
    const session = this.#sessions.get(sid);
    if (session?.attempt !== attempt) return;
    this.#sessions.delete(sid);
    await session.ref.stop();
  }
}

function refuse(code: "busy" | "invalid", message: string): OpenReply {
  return { error: { code, message } };
}
