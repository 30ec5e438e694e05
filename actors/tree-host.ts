import { PipelineCosts, type SegmentCosts } from "../decoding/costs.ts";
import type { Epoch } from "../decoding/ids.ts";
import type { Policy, PolicySetting } from "../decoding/policies/policy.ts";
import { PolicyError } from "../decoding/policies/registry.ts";
import { ANY, eventSubject, parseSession, sessionSubject } from "../transport/subjects.ts";
import type { Message } from "../transport/transport.ts";
import { addressOf } from "./address.ts";
import {
  type EndMessage,
  encodeJson,
  MessageError,
  type OpenMessage,
  type OpenReply,
  openSchema,
  parseJson,
  stageCostsSchema,
} from "./messages.ts";
import type { Actor, ActorContext, ActorDefinition, ActorRef } from "./runtime/actor.ts";
import { spawn } from "./runtime/spawn.ts";
import { DEFAULT_SUPERVISION } from "./runtime/supervision.ts";
import { treeManagerActor } from "./tree-manager.ts";

export interface TreeHostOptions {
  readonly mesh: string;
  readonly epoch: Epoch;
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

/** Sessions at once, those that have just ended included; the next one is told to come back later. */
const SESSIONS_MAX = 256;
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

class TreeHost implements Actor {
  readonly #options: TreeHostOptions;
  readonly #context: ActorContext;
  readonly #sessions = new Map<string, ActorRef>();
  readonly #tables: SegmentCosts[];
  #costs: PipelineCosts;

  constructor(options: TreeHostOptions, context: ActorContext) {
    this.#options = options;
    this.#context = context;
    this.#tables = [...options.costs];
    this.#costs = new PipelineCosts(this.#tables);
    context.listen(sessionSubject(options.mesh, ANY, "open"), { lane: "normal", queue: "tree-host" });
    context.listen(eventSubject(options.mesh, "costs"), { lane: "normal" });
  }

  async receive(message: Message): Promise<void> {
    if (addressOf(message.subject)?.to === "event") return this.#refreshCosts(message);
    const sid = parseSession(message.subject)?.sid;
    if (sid === undefined) return;
    message.respond(encodeJson(await this.#open(sid, message)));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.stop()));
  }

  #refreshCosts(message: Message): void {
    try {
      const { epoch, stage, costs } = parseJson(stageCostsSchema, message);
      if (epoch !== this.#options.epoch || stage >= this.#tables.length) return;
      this.#tables[stage] = costs;
      this.#costs = new PipelineCosts(this.#tables);
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      this.#context.log.write("warn", "message dropped", { subject: message.subject, why: error.message });
    }
  }

  async #open(sid: string, message: Message): Promise<OpenReply> {
    if (this.#sessions.size >= SESSIONS_MAX) {
      return refuse("busy", `all ${SESSIONS_MAX} sessions are in use; try again in a moment`);
    }
    if (this.#sessions.has(sid)) return refuse("invalid", `session ${sid} exists already`);
    try {
      const request = parseJson(openSchema, message);
      const policy = this.#policyFor(request);
      const room = this.#options.contextLength - request.prompt.length;
      if (request.prompt.length === 0 || room < 1) {
        return refuse("invalid", `a prompt has 1 to ${this.#options.contextLength - 1} tokens`);
      }
      await this.#spawn(sid, { ...request, maxTokens: Math.min(request.maxTokens, room) }, policy);
      return {};
    } catch (error) {
      if (!(error instanceof MessageError || error instanceof PolicyError)) throw error;
      return refuse("invalid", error.message);
    }
  }

  #policyFor(request: OpenMessage): Policy {
    const { makePolicy, defaultPolicy, stageCount, sharesCores = false } = this.#options;
    return makePolicy(request.policy ?? defaultPolicy, { stageCount, costs: this.#costs, sharesCores });
  }

  async #spawn(sid: string, request: OpenMessage, policy: Policy): Promise<void> {
    const { mesh, epoch, stageCount, hasDrafter, chunkNodes } = this.#options;
    const { transport, clock, log } = this.#context;
    const costs = () => this.#costs;
    const onEnd = () => {
      this.#forget(sid).catch((error: unknown) =>
        log.write("error", "tree manager did not stop", { sid, error }),
      );
    };
    const manager = { mesh, epoch, sid, request, policy, stageCount, hasDrafter, costs, chunkNodes, onEnd };
    const session = await spawn(treeManagerActor(manager), {
      transport,
      clock,
      log,
      supervision: NO_RESTART,
    });
    this.#sessions.set(sid, session);
    session.ended.then((error) => error && this.#crashed(sid, request, error), onEnd);
  }

  /** Its journal is gone, so the session can't be replayed: it ends with an error, everywhere. */
  #crashed(sid: string, request: OpenMessage, error: Error): void {
    this.#sessions.delete(sid);
    const { transport, log } = this.#context;
    log.write("error", "a tree manager crashed", { sid, error: error.message });
    const end: EndMessage = {
      reason: "error",
      message: "the session's tree manager crashed",
      stats: {
        promptTokens: request.prompt.length,
        completionTokens: 0,
        commits: 0,
        draftTokens: 0,
        acceptedTokens: 0,
        segments: 0,
        misses: 0,
      },
    };
    transport.publish(sessionSubject(this.#options.mesh, sid, "end"), encodeJson(end));
  }

  async #forget(sid: string): Promise<void> {
    const session = this.#sessions.get(sid);
    this.#sessions.delete(sid);
    await session?.stop();
  }
}

function refuse(code: "busy" | "invalid", message: string): OpenReply {
  return { error: { code, message } };
}
