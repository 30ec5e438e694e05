import type { Epoch } from "../decoding/ids.ts";
import type { Policy } from "../decoding/policies/policy.ts";
import { ANY, parseSession, sessionSubject } from "../transport/subjects.ts";
import type { Message } from "../transport/transport.ts";
import {
  type EndMessage,
  encodeJson,
  MessageError,
  type OpenMessage,
  type OpenReply,
  openSchema,
  parseJson,
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
  /** Makes a policy for a new session; undefined for a name that does not exist. */
  readonly policies: ReadonlyMap<string, () => Policy>;
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

  constructor(options: TreeHostOptions, context: ActorContext) {
    this.#options = options;
    this.#context = context;
    context.listen(sessionSubject(options.mesh, ANY, "open"), { lane: "normal", queue: "tree-host" });
  }

  async receive(message: Message): Promise<void> {
    const sid = parseSession(message.subject)?.sid;
    if (sid === undefined) return;
    message.respond(encodeJson(await this.#open(sid, message)));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.stop()));
  }

  async #open(sid: string, message: Message): Promise<OpenReply> {
    if (this.#sessions.size >= SESSIONS_MAX) {
      return refuse("busy", `all ${SESSIONS_MAX} sessions are in use; try again in a moment`);
    }
    if (this.#sessions.has(sid)) return refuse("invalid", `session ${sid} exists already`);
    try {
      const request = parseJson(openSchema, message);
      const policy = this.#policyFor(request);
      if (policy === undefined) {
        const known = [...this.#options.policies.keys()].join(", ");
        return refuse("invalid", `unknown policy "${request.policy}"; there are: ${known}`);
      }
      const room = this.#options.contextLength - request.prompt.length;
      if (request.prompt.length === 0 || room < 1) {
        return refuse("invalid", `a prompt has 1 to ${this.#options.contextLength - 1} tokens`);
      }
      await this.#spawn(sid, { ...request, maxTokens: Math.min(request.maxTokens, room) }, policy);
      return {};
    } catch (error) {
      if (!(error instanceof MessageError)) throw error;
      return refuse("invalid", error.message);
    }
  }

  #policyFor(request: OpenMessage): Policy | undefined {
    return this.#options.policies.get(request.policy ?? this.#options.defaultPolicy)?.();
  }

  async #spawn(sid: string, request: OpenMessage, policy: Policy): Promise<void> {
    const { mesh, epoch, stageCount, hasDrafter, chunkNodes } = this.#options;
    const { transport, clock, log } = this.#context;
    const onEnd = () => {
      this.#forget(sid).catch((error: unknown) =>
        log.write("error", "tree manager did not stop", { sid, error }),
      );
    };
    const manager = { mesh, epoch, sid, request, policy, stageCount, hasDrafter, chunkNodes, onEnd };
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
