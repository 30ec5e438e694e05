import type { MeshEvent } from "../../actors/live-port.ts";
import { type GatewayApi, GatewayError, type LiveMessage } from "../gateway-api.ts";
import { createStore, type Store } from "../store.ts";
import { Recording } from "./recording.ts";

export interface LiveState {
  readonly mesh: MeshEvent | undefined;
  readonly current: Recording | undefined;
  /** Why nothing can be seen; undefined while the connection stands. */
  readonly trouble: string | undefined;
  /** Rises with each event, for those who draw. */
  readonly events: number;
}

const RETRY_MS = 2000;

/** Hears what the gateway tells of this page's sessions, and comes back when the connection breaks. */
export class LiveConnection {
  /** Nobody else knows it, so nobody else can watch. */
  readonly name = randomName();
  readonly state: Store<LiveState> = createStore<LiveState>({
    mesh: undefined,
    current: undefined,
    trouble: undefined,
    events: 0,
  });
  readonly #api: GatewayApi;
  #stages = 1;
  #connection = new AbortController();

  constructor(api: GatewayApi) {
    this.#api = api;
  }

  /** Begins, or begins anew: with another key, say. */
  connect(): void {
    this.#connection.abort();
    const connection = new AbortController();
    this.#connection = connection;
    this.#listen(connection.signal).catch(() => {});
  }

  /** Shows a recording of earlier. */
  show(recording: Recording): void {
    this.#change({ current: recording });
  }

  async #listen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const messages of this.#api.live(this.name, signal)) this.#hear(messages);
        this.#change({ trouble: "The connection to the gateway has ended." });
      } catch (error) {
        if (signal.aborted) return;
        this.#change({ trouble: error instanceof Error ? error.message : String(error) });
        // Without another key the answer will not change.
        if (error instanceof GatewayError && (error.status === 401 || error.status === 403)) return;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  #hear(messages: readonly LiveMessage[]): void {
    let { mesh, current } = this.state.value;
    for (const message of messages) {
      if (message.type === "skipped") continue;
      if (message.type === "mesh") {
        mesh = message;
        this.#stages = Math.max(1, message.actors.filter(({ stage }) => stage !== undefined).length);
      } else if (message.type === "opened") {
        current = new Recording(message.session, this.#stages);
        current.push(message);
      } else if (message.session === current?.session) current.push(message);
    }
    this.#change({ mesh, current, trouble: undefined });
  }

  #change(part: Partial<LiveState>): void {
    const { value } = this.state;
    this.state.set({ ...value, ...part, events: value.events + 1 });
  }
}

function randomName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
