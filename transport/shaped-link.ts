import { DelayLine, type LinkClock } from "./delay-line.ts";
import { ClosedError, PayloadTooLargeError } from "./errors.ts";
import { checkHeaders } from "./headers.ts";
import { type LinkModel, messageBytes } from "./link-model.ts";
import type { TransportLog } from "./log.ts";
import { checkPattern, checkSubject, subjectMatches } from "./subject-match.ts";
import type {
  ConnectionStatus,
  Headers,
  Message,
  RequestOptions,
  SubscribeOptions,
  Subscription,
  Transport,
} from "./transport.ts";

export interface ShapedLinkOptions {
  readonly link: LinkModel;
  readonly clock: LinkClock;
  /** Messages of this pattern also wait on their way in, on a link of the same kind; by default none do. */
  readonly inbound?: string;
  readonly log?: TransportLog;
}

/** How long closing may wait for what is still on the link; after that the rest goes at once. */
const CLOSE_WAIT_MS = 2_000;

/**
 * Puts a link between a transport and the mesh: what is published or asked waits for its turn on the uplink,
 * for its bytes at the rate, and for the delay, and only then reaches the transport. All of it keeps its
 * order. What comes in does not wait, because it waited on its sender's uplink; senders without a link of
 * their own are named by `inbound`. Answers to requests (service discovery) do not wait either.
 *
 * With a stage behind each such link, and `inbound` naming what the tree manager sends to the first one, a
 * token of plain decoding passes `stages + 1` links.
 */
export function shapeLink(transport: Transport, options: ShapedLinkOptions): Transport {
  return new ShapedTransport(transport, options);
}

class ShapedTransport implements Transport {
  readonly #inner: Transport;
  readonly #options: ShapedLinkOptions;
  readonly #uplink: DelayLine;
  readonly #downlink: DelayLine;
  #dropped = 0;
  #closing: Promise<void> | undefined;

  constructor(inner: Transport, options: ShapedLinkOptions) {
    const { link, clock, inbound } = options;
    if (inbound !== undefined) checkPattern(inbound);
    this.#inner = inner;
    this.#options = options;
    this.#uplink = new DelayLine(link, clock);
    this.#downlink = new DelayLine(link, clock);
  }

  get status(): ConnectionStatus {
    return this.#inner.status;
  }

  get maxPayloadBytes(): number {
    return this.#inner.maxPayloadBytes;
  }

  get droppedCount(): number {
    return this.#inner.droppedCount + this.#dropped;
  }

  publish(subject: string, body: Uint8Array, headers: Headers = {}): void {
    this.#checkOpen(`publish to ${subject}`);
    // The caller hears now what the transport would say later, when nobody listens any more.
    checkSubject(subject);
    if (body.length > this.maxPayloadBytes) {
      throw new PayloadTooLargeError(subject, "body", body.length, this.maxPayloadBytes);
    }
    const checked = checkHeaders(subject, headers);
    const own = body.slice();
    this.#uplink.push(messageBytes(subject, own, checked), () => this.#send(subject, own, checked));
  }

  subscribe(
    pattern: string,
    onMessage: (message: Message) => void,
    options?: SubscribeOptions,
  ): Subscription {
    this.#checkOpen(`subscribe to ${pattern}`);
    let active = true;
    const receive = (message: Message) => {
      const { inbound } = this.#options;
      if (inbound === undefined || !subjectMatches(inbound, message.subject)) return onMessage(message);
      const bytes = messageBytes(message.subject, message.body, message.headers);
      this.#downlink.push(bytes, () => active && this.#deliver(onMessage, message));
    };
    const subscription = this.#inner.subscribe(pattern, receive, options);
    return {
      unsubscribe: () => {
        active = false;
        subscription.unsubscribe();
      },
    };
  }

  async request(subject: string, body: Uint8Array, options: RequestOptions): Promise<Message> {
    const own = await this.#passUplink(subject, body, options.headers);
    return this.#inner.request(subject, own, options);
  }

  async requestMany(subject: string, body: Uint8Array, options: RequestOptions): Promise<Message[]> {
    const own = await this.#passUplink(subject, body, options.headers);
    return this.#inner.requestMany(subject, own, options);
  }

  async flush(): Promise<void> {
    await this.#uplink.drained();
    await this.#inner.flush();
    // The server's word that it has read everything comes behind what it sent before.
    await this.#downlink.drained();
  }

  onStatus(listener: (status: ConnectionStatus) => void): Subscription {
    return this.#inner.onStatus(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const cancelTimer = this.#options.clock.setTimer(CLOSE_WAIT_MS, () => {
      this.#uplink.empty();
      this.#downlink.empty();
    });
    await this.#uplink.drained();
    await this.#inner.close();
    await this.#downlink.drained();
    cancelTimer();
  }

  #send(subject: string, body: Uint8Array, headers: Headers): void {
    try {
      this.#inner.publish(subject, body, headers);
    } catch (error) {
      // The connection was closed from the other side, or its server has come back with a lower limit.
      this.#dropped++;
      this.#options.log?.write("warn", "message dropped at the end of a shaped link", { subject, error });
    }
  }

  #deliver(onMessage: (message: Message) => void, message: Message): void {
    try {
      onMessage(message);
    } catch (error) {
      this.#options.log?.write("error", "a subscriber threw", { subject: message.subject, error });
    }
  }

  /** Gives the body, copied before the wait: the caller may use its buffer again. */
  async #passUplink(subject: string, body: Uint8Array, headers?: Headers): Promise<Uint8Array> {
    this.#checkOpen(`request to ${subject}`);
    const own = body.slice();
    await this.#uplink.pass(messageBytes(subject, own, headers));
    return own;
  }

  #checkOpen(what: string): void {
    if (this.#closing !== undefined || this.status === "closed") throw new ClosedError(what);
  }
}
