import { ClosedError, NoRespondersError, PayloadTooLargeError, RequestTimeoutError } from "./errors.ts";
import { checkHeaders, HEADER_BYTES_MAX } from "./headers.ts";
import type { TransportLog } from "./log.ts";
import { checkPattern, checkSubject, tokensMatch } from "./subject-match.ts";
import type {
  ConnectionStatus,
  Headers,
  Message,
  RequestOptions,
  SubscribeOptions,
  Subscription,
  Transport,
} from "./transport.ts";

/** One message on its way to one subscription. */
export interface Delivery {
  /** Names of the two connections. */
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  readonly bytes: number;
  /** Lets the message arrive. Never called, it is lost; called twice, it is doubled. */
  run(): void;
}

export interface MemoryMeshOptions {
  /**
   * Decides when each message arrives; it must not call `run` before it returns. Default: in the next
   * microtask, which keeps the order of each publisher, as NATS does.
   */
  readonly deliver?: (delivery: Delivery) => void;
  /** For the time limits of requests; default is real time. */
  readonly clock?: { setTimer(ms: number, callback: () => void): () => void };
  /** What a real server calls `max_payload`, in bytes. */
  readonly payloadBytesMax?: number;
  readonly log?: TransportLog;
}

interface Interest {
  readonly owner: MemoryTransport;
  readonly tokens: readonly string[];
  readonly queue: string | undefined;
  readonly onMessage: (message: Message) => void;
  active: boolean;
}

const PAYLOAD_BYTES_MAX = 1024 * 1024;

const realTimers = {
  setTimer(ms: number, callback: () => void) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/** What a NATS server does, inside one process: connections of one mesh hear each other. */
export class MemoryMesh {
  readonly bodyBytesMax: number;
  readonly clock: NonNullable<MemoryMeshOptions["clock"]>;
  readonly #deliver: (delivery: Delivery) => void;
  readonly #log: TransportLog | undefined;
  readonly #interests = new Set<Interest>();
  #turn = 0;

  constructor(options: MemoryMeshOptions = {}) {
    this.bodyBytesMax = (options.payloadBytesMax ?? PAYLOAD_BYTES_MAX) - HEADER_BYTES_MAX;
    this.clock = options.clock ?? realTimers;
    this.#deliver = options.deliver ?? ((delivery) => queueMicrotask(delivery.run));
    this.#log = options.log;
  }

  /** `name` is what `Delivery` calls this connection. */
  connect(name: string): Transport {
    return new MemoryTransport(this, name);
  }

  add(interest: Interest): void {
    this.#interests.add(interest);
  }

  remove(interest: Interest): void {
    interest.active = false;
    this.#interests.delete(interest);
  }

  /** Sends a copy to each plain subscription and one of each queue group; gives how many there were. */
  send(from: MemoryTransport, letter: Letter): number {
    const { subject, body } = letter;
    const receivers = this.#receivers(subject);
    for (const interest of receivers) {
      const run = () => {
        if (interest.active) this.#arrive(interest, new Arrived(interest.owner, letter));
      };
      this.#deliver({ from: from.name, to: interest.owner.name, subject, bytes: body.length, run });
    }
    return receivers.length;
  }

  #receivers(subject: string): Interest[] {
    const tokens = subject.split(".");
    const receivers: Interest[] = [];
    const groups = new Map<string, Interest[]>();
    for (const interest of this.#interests) {
      if (!tokensMatch(interest.tokens, tokens)) continue;
      if (interest.queue === undefined) receivers.push(interest);
      else groups.set(interest.queue, [...(groups.get(interest.queue) ?? []), interest]);
    }
    for (const members of groups.values()) {
      const chosen = members[this.#turn++ % members.length];
      if (chosen !== undefined) receivers.push(chosen);
    }
    return receivers;
  }

  #arrive(interest: Interest, message: Message): void {
    try {
      interest.onMessage(message);
    } catch (error) {
      this.#log?.write("error", "a subscriber threw", { subject: message.subject, error });
    }
  }
}

interface Letter {
  readonly subject: string;
  readonly body: Uint8Array;
  readonly headers: Headers;
  readonly replyTo: string | undefined;
}

class Arrived implements Message {
  readonly subject: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
  readonly expectsReply: boolean;
  readonly #receiver: MemoryTransport;
  readonly #replyTo: string | undefined;

  constructor(receiver: MemoryTransport, letter: Letter) {
    this.subject = letter.subject;
    this.headers = letter.headers;
    this.body = new Uint8Array(letter.body);
    this.expectsReply = letter.replyTo !== undefined;
    this.#receiver = receiver;
    this.#replyTo = letter.replyTo;
  }

  respond(body: Uint8Array, headers: Headers = {}): void {
    if (this.#replyTo !== undefined) this.#receiver.publish(this.#replyTo, body, headers);
  }
}

class MemoryTransport implements Transport {
  readonly name: string;
  readonly droppedCount = 0;
  readonly #mesh: MemoryMesh;
  readonly #interests = new Set<Interest>();
  readonly #listeners = new Set<(status: ConnectionStatus) => void>();
  /** What ends each request that waits, when the transport closes. */
  readonly #pending = new Set<() => void>();
  #inboxes = 0;
  #status: ConnectionStatus = "connected";

  constructor(mesh: MemoryMesh, name: string) {
    this.#mesh = mesh;
    this.name = name;
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  get maxPayloadBytes(): number {
    return this.#mesh.bodyBytesMax;
  }

  publish(subject: string, body: Uint8Array, headers: Headers = {}): void {
    this.#send(subject, body, headers);
  }

  #send(subject: string, body: Uint8Array, headers: Headers, replyTo?: string): number {
    this.#checkOpen(`publish to ${subject}`);
    checkSubject(subject);
    if (body.length > this.maxPayloadBytes) {
      throw new PayloadTooLargeError(subject, "body", body.length, this.maxPayloadBytes);
    }
    const letter = { subject, body: new Uint8Array(body), headers: checkHeaders(subject, headers), replyTo };
    return this.#mesh.send(this, letter);
  }

  subscribe(
    pattern: string,
    onMessage: (message: Message) => void,
    options: SubscribeOptions = {},
  ): Subscription {
    this.#checkOpen(`subscribe to ${pattern}`);
    checkPattern(pattern);
    const tokens = pattern.split(".");
    const interest: Interest = { owner: this, tokens, queue: options.queue, onMessage, active: true };
    this.#interests.add(interest);
    this.#mesh.add(interest);
    return {
      unsubscribe: () => {
        this.#interests.delete(interest);
        this.#mesh.remove(interest);
      },
    };
  }

  async request(subject: string, body: Uint8Array, options: RequestOptions): Promise<Message> {
    const answers = await this.#ask(subject, body, options, 1);
    const [answer] = answers;
    if (answer === undefined) throw new RequestTimeoutError(subject, options.timeoutMs);
    return answer;
  }

  async requestMany(subject: string, body: Uint8Array, options: RequestOptions): Promise<Message[]> {
    try {
      return await this.#ask(subject, body, options, Number.POSITIVE_INFINITY);
    } catch (error) {
      if (error instanceof NoRespondersError) return [];
      throw error;
    }
  }

  /** The answers that came in until there were `wanted` of them or the time was over. */
  async #ask(subject: string, body: Uint8Array, options: RequestOptions, wanted: number): Promise<Message[]> {
    const inbox = `_INBOX.${this.name}.${this.#inboxes++}`;
    const answers: Message[] = [];
    const done = Promise.withResolvers<void>();
    const subscription = this.subscribe(inbox, (message) => {
      answers.push(message);
      if (answers.length >= wanted) done.resolve();
    });
    const cancelTimer = this.#mesh.clock.setTimer(options.timeoutMs, done.resolve);
    const abandon = () => done.reject(new ClosedError(`request to ${subject}`));
    this.#pending.add(abandon);
    try {
      const receivers = this.#send(subject, body, options.headers ?? {}, inbox);
      if (receivers === 0) throw new NoRespondersError(subject);
      await done.promise;
      return answers;
    } finally {
      this.#pending.delete(abandon);
      cancelTimer();
      subscription.unsubscribe();
    }
  }

  async flush(): Promise<void> {
    this.#checkOpen("flush");
    // Messages travel by microtasks unless `deliver` says otherwise; those queued so far run before this ends.
    await Promise.resolve();
  }

  onStatus(listener: (status: ConnectionStatus) => void): Subscription {
    this.#listeners.add(listener);
    return { unsubscribe: () => this.#listeners.delete(listener) };
  }

  async close(): Promise<void> {
    if (this.#status === "closed") return;
    await this.flush();
    this.#status = "closed";
    for (const interest of this.#interests) this.#mesh.remove(interest);
    this.#interests.clear();
    for (const abandon of this.#pending) abandon();
    for (const listener of this.#listeners) listener("closed");
    this.#listeners.clear();
  }

  #checkOpen(what: string): void {
    if (this.#status === "closed") throw new ClosedError(what);
  }
}
