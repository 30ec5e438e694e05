/**
 * Moves bytes between subjects. Delivery is at most once, in order per publisher and subject;
 * everything above must survive a lost message. Two implementations (NATS and in-memory) run under
 * one conformance suite. Subjects and wildcards (`*`, `>`) are NATS's.
 */
export type Headers = Readonly<Record<string, string>>;

export interface Message {
  readonly subject: string;
  readonly headers: Headers;
  /** Owned by the receiver: never a view into a socket buffer. 8-byte aligned (byteOffset % 8 === 0). */
  readonly body: Uint8Array;
  /** True when the sender waits for `respond`. */
  readonly expectsReply: boolean;
  respond(body: Uint8Array, headers?: Headers): void;
}

export interface SubscribeOptions {
  /** Members of one queue group share the messages: each goes to one of them. Never used for stages. */
  readonly queue?: string;
}

export interface Subscription {
  /** Stops delivery at once; calling it twice is harmless. */
  unsubscribe(): void;
}

export interface RequestOptions {
  readonly timeoutMs: number;
  readonly headers?: Headers;
}

export type ConnectionStatus = "connected" | "disconnected" | "closed";

export interface Transport {
  readonly status: ConnectionStatus;
  /** Largest body in bytes that `publish` takes; a larger one throws PayloadTooLargeError. */
  readonly maxPayloadBytes: number;
  /** Fire and forget; `body` may be reused at once. While disconnected the message is dropped and counted; after close it throws ClosedError. */
  publish(subject: string, body: Uint8Array, headers?: Headers): void;
  /** `onMessage` must not throw: what it throws is logged and goes no further. */
  subscribe(pattern: string, onMessage: (message: Message) => void, options?: SubscribeOptions): Subscription;
  /** Rejects with NoRespondersError, RequestTimeoutError, DisconnectedError or ClosedError (transport/errors.ts). */
  request(subject: string, body: Uint8Array, options: RequestOptions): Promise<Message>;
  /** Several answers to one request (service discovery): collects until `timeoutMs` has passed. None if nobody listens. */
  requestMany(subject: string, body: Uint8Array, options: RequestOptions): Promise<Message[]>;
  /** Resolves when the server has read everything published so far; rejects with DisconnectedError or ClosedError. */
  flush(): Promise<void>;
  onStatus(listener: (status: ConnectionStatus) => void): Subscription;
  /** Messages dropped while disconnected. */
  readonly droppedCount: number;
  /** Delivers what was already received, then closes. */
  close(): Promise<void>;
}
