import type { ChildContext } from "../../actors/host/child-entry.ts";
import type { ActorRef } from "../../actors/runtime/actor.ts";
import type { RolePlace } from "../role.ts";

/**
 * The actor of one epoch after the other, over what was loaded once: the one of the old epoch has stopped,
 * and left nothing behind, before the one of the new epoch starts.
 */
export class PlacedActor {
  readonly #start: (place: RolePlace) => Promise<ActorRef>;
  readonly #context: Pick<ChildContext, "fail">;
  #actor: ActorRef | undefined;
  #queue: Promise<void> = Promise.resolve();

  constructor(context: Pick<ChildContext, "fail">, start: (place: RolePlace) => Promise<ActorRef>) {
    this.#context = context;
    this.#start = start;
  }

  /** Resolves when the actor of that place is up. */
  enter(place: RolePlace): Promise<void> {
    const entered = this.#queue.then(() => this.#enter(place));
    this.#queue = entered.catch(this.#context.fail);
    return entered;
  }

  async stop(): Promise<void> {
    await this.#queue;
    await this.#actor?.stop();
  }

  async #enter(place: RolePlace): Promise<void> {
    await this.#actor?.stop();
    const actor = await this.#start(place);
    this.#actor = actor;
    actor.ended.then((error) => error && this.#context.fail(error), this.#context.fail);
  }
}
