import {
  ClosedConnectionError,
  connect,
  credsAuthenticator,
  DrainingConnectionError,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  NoRespondersError as NatsNoRespondersError,
  headers as newHeaders,
  RequestError,
  type Status,
  TimeoutError,
} from "nats";
import {
  ClosedError,
  ConnectError,
  DisconnectedError,
  NoRespondersError,
  PayloadTooLargeError,
  RequestTimeoutError,
} from "./errors.ts";
import { checkHeaders, HEADER_BYTES_MAX } from "./headers.ts";
import type { TransportLog } from "./log.ts";
import { checkPattern, checkSubject } from "./subject-match.ts";
import type {
  ConnectionStatus,
  Headers,
  Message,
  RequestOptions,
  SubscribeOptions,
  Subscription,
  Transport,
} from "./transport.ts";

export interface NatsOptions {
  /** E.g. nats://127.0.0.1:4222 */
  readonly url: string;
  /** What the server's monitoring calls this connection. */
  readonly name: string;
  /** Answers to requests come to subjects below it; default `_INBOX.<name>`, so that permissions can tell hosts apart. */
  readonly inboxPrefix?: string;
  readonly token?: string;
  readonly user?: string;
  readonly pass?: string;
  /** Content of a NATS credentials file. */
  readonly credentials?: Uint8Array;
  /** Default true: `connectNats` waits until a server is there. False: it rejects with ConnectError. */
  readonly waitOnFirstConnect?: boolean;
  readonly log?: TransportLog;
}

const RECONNECT_WAIT_MS = 250;
const PING_INTERVAL_MS = 5_000;
/** How long closing may wait for the server to confirm what was sent. */
const CLOSE_WAIT_MS = 2_000;

/**
 * Connects to a NATS server, and again whenever the connection breaks, for ever. Rejects with ConnectError
 * when the server refuses the credentials, or can't be reached and `waitOnFirstConnect` is false.
 */
export async function connectNats(options: NatsOptions): Promise<NatsTransport> {
  const { url, name, token, user, pass } = options;
  try {
    const connection = await connect({
      servers: url,
      name,
      inboxPrefix: options.inboxPrefix ?? `_INBOX.${name}`,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      pingInterval: PING_INTERVAL_MS,
      waitOnFirstConnect: options.waitOnFirstConnect ?? true,
      noAsyncTraces: true,
      ...(token !== undefined && { token }),
      ...(user !== undefined && { user }),
      ...(pass !== undefined && { pass }),
      ...(options.credentials !== undefined && { authenticator: credsAuthenticator(options.credentials) }),
    });
    return new NatsTransport(connection, options.log);
  } catch (error) {
    throw new ConnectError(url, { cause: error });
  }
}

export class NatsTransport implements Transport {
  readonly #connection: NatsConnection;
  readonly #log: TransportLog | undefined;
  readonly #listeners = new Set<(status: ConnectionStatus) => void>();
  #status: ConnectionStatus = "connected";
  #dropped = 0;
  #payloadBytesMax = 0;
  #closing: Promise<void> | undefined;

  constructor(connection: NatsConnection, log: TransportLog | undefined) {
    this.#connection = connection;
    this.#log = log;
    void this.#watch();
  }

  /** For the other parts of `transport/`: the key-value and object stores. */
  get connection(): NatsConnection {
    return this.#connection;
  }

  get status(): ConnectionStatus {
    return this.#status;
  }

  get maxPayloadBytes(): number {
    // The client forgets the server's limit while it is disconnected.
    this.#payloadBytesMax = this.#connection.info?.max_payload ?? this.#payloadBytesMax;
    return this.#payloadBytesMax - HEADER_BYTES_MAX;
  }

  get droppedCount(): number {
    return this.#dropped;
  }

  publish(subject: string, body: Uint8Array, headers: Headers = {}): void {
    this.#send(subject, body, headers);
  }

  subscribe(
    pattern: string,
    onMessage: (message: Message) => void,
    options: SubscribeOptions = {},
  ): Subscription {
    checkPattern(pattern);
    let active = true;
    const subscription = this.#guard(`subscribe to ${pattern}`, () =>
      this.#connection.subscribe(pattern, {
        ...(options.queue !== undefined && { queue: options.queue }),
        callback: (error, msg) => {
          if (error !== null) this.#log?.write("error", "subscription ended", { pattern, error });
          else if (active) this.#arrive(onMessage, this.#receive(msg));
        },
      }),
    );
    return {
      unsubscribe: () => {
        if (active && !subscription.isClosed()) subscription.unsubscribe();
        active = false;
      },
    };
  }

  async request(subject: string, body: Uint8Array, options: RequestOptions): Promise<Message> {
    const headers = this.#prepare(subject, body, options.headers ?? {});
    this.#checkConnected(subject);
    const { timeoutMs: timeout } = options;
    try {
      return this.#receive(await this.#connection.request(subject, body, { timeout, headers }));
    } catch (error) {
      throw this.#requestError(subject, timeout, error);
    }
  }

  async requestMany(subject: string, body: Uint8Array, options: RequestOptions): Promise<Message[]> {
    const headers = this.#prepare(subject, body, options.headers ?? {});
    this.#checkConnected(subject);
    const { timeoutMs: maxWait } = options;
    const answers: Message[] = [];
    try {
      const wait = { strategy: "timer", maxWait, headers } as const;
      for await (const msg of await this.#connection.requestMany(subject, body, wait)) {
        answers.push(this.#receive(msg));
      }
    } catch (error) {
      const known = this.#requestError(subject, maxWait, error);
      if (!(known instanceof NoRespondersError)) throw known;
    }
    return answers;
  }

  async flush(): Promise<void> {
    this.#checkConnected("flush");
    try {
      await this.#connection.flush();
    } catch (error) {
      if (this.#connection.isClosed()) throw new ClosedError("flush", { cause: error });
      throw new DisconnectedError("flush", { cause: error });
    }
  }

  onStatus(listener: (status: ConnectionStatus) => void): Subscription {
    this.#listeners.add(listener);
    return { unsubscribe: () => this.#listeners.delete(listener) };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // Draining waits for the server; without one it would wait until the next connection.
    if (this.#status === "connected") {
      const drained = this.#connection.drain().catch((error: unknown) => {
        this.#log?.write("warn", "could not drain the connection", { error });
      });
      const { promise: timeout, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, CLOSE_WAIT_MS);
      await Promise.race([drained, timeout]);
      clearTimeout(timer);
    }
    await this.#connection.close();
    this.#setStatus("closed");
    this.#listeners.clear();
  }

  #send(subject: string, body: Uint8Array, given: Headers): void {
    const headers = this.#prepare(subject, body, given);
    if (this.#status === "disconnected") {
      // The client would keep some of it and lose the rest without a word.
      this.#dropped++;
      return;
    }
    // The client keeps what it is given until the end of this turn; a copy leaves the caller free to reuse it.
    this.#guard(`publish to ${subject}`, () =>
      this.#connection.publish(subject, body.slice(), headers.keys().length > 0 ? { headers } : {}),
    );
  }

  #prepare(subject: string, body: Uint8Array, given: Headers): MsgHdrs {
    if (this.#status === "closed") throw new ClosedError(`publish to ${subject}`);
    checkSubject(subject);
    if (body.length > this.maxPayloadBytes) {
      throw new PayloadTooLargeError(subject, "body", body.length, this.maxPayloadBytes);
    }
    const headers = newHeaders();
    for (const [name, value] of Object.entries(checkHeaders(subject, given))) headers.set(name, value);
    return headers;
  }

  /** Callers wait for what follows, so unlike `publish` they are told that it can't come. */
  #checkConnected(what: string): void {
    if (this.#status === "closed") throw new ClosedError(what);
    if (this.#status === "disconnected") throw new DisconnectedError(what);
  }

  #guard<Result>(what: string, act: () => Result): Result {
    try {
      return act();
    } catch (error) {
      const closed = error instanceof ClosedConnectionError || error instanceof DrainingConnectionError;
      throw closed ? new ClosedError(what, { cause: error }) : error;
    }
  }

  #requestError(subject: string, timeoutMs: number, error: unknown): unknown {
    if (error instanceof TimeoutError) return new RequestTimeoutError(subject, timeoutMs);
    // A request to many gives this cause unwrapped.
    const isNoResponders = error instanceof RequestError && error.isNoResponders();
    if (isNoResponders || error instanceof NatsNoRespondersError) {
      return new NoRespondersError(subject);
    }
    const ended = this.#closing !== undefined || this.#connection.isClosed();
    return ended ? new ClosedError(`request to ${subject}`, { cause: error }) : error;
  }

  #receive(msg: Msg): Message {
    const headers: Record<string, string> = {};
    for (const name of msg.headers?.keys() ?? []) headers[name] = msg.headers?.get(name) ?? "";
    const { subject, reply = "" } = msg;
    return {
      subject,
      headers,
      // `msg.data` is a view, at any offset, of what the socket gave; Buffer's own slice() would not copy it.
      body: new Uint8Array(msg.data),
      expectsReply: reply !== "",
      respond: (body, responseHeaders) => {
        if (reply !== "") this.#send(reply, body, responseHeaders ?? {});
      },
    };
  }

  /** An error thrown into the client would end its reading from the socket. */
  #arrive(onMessage: (message: Message) => void, message: Message): void {
    try {
      onMessage(message);
    } catch (error) {
      this.#log?.write("error", "a subscriber threw", { subject: message.subject, error });
    }
  }

  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) this.#hear(status);
    // Given up for good: closed here, or refused twice in a row by the server.
    const error = await this.#connection.closed();
    if (error !== undefined) this.#log?.write("error", "connection closed", { error });
    this.#setStatus("closed");
  }

  #hear(status: Status): void {
    const server = this.#connection.getServer();
    switch (status.type) {
      case "disconnect":
        this.#log?.write("warn", "lost the connection to NATS, reconnecting", { server });
        this.#setStatus("disconnected");
        break;
      case "reconnect":
        this.#log?.write("info", "connected to NATS again", { server, dropped: this.#dropped });
        this.#setStatus("connected");
        break;
      case "error":
        this.#log?.write("warn", "NATS reports an error", { error: status.error });
        break;
      default:
        break;
    }
  }

  #setStatus(status: ConnectionStatus): void {
    if (this.#status === status || this.#status === "closed") return;
    this.#status = status;
    for (const listener of this.#listeners) listener(status);
  }
}
