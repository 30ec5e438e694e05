/** A body (or its headers) is larger than the transport carries in one message. */
export class PayloadTooLargeError extends Error {
  override readonly name = "PayloadTooLargeError";

  constructor(subject: string, what: "body" | "headers", bytes: number, bytesMax: number) {
    super(`${what} for ${subject} has ${bytes} bytes; at most ${bytesMax} fit into one message`);
  }
}

/** Nobody is subscribed to the subject of a request. */
export class NoRespondersError extends Error {
  override readonly name = "NoRespondersError";

  constructor(subject: string) {
    super(`nobody listens on ${subject}`);
  }
}

/** A request was not answered in time. */
export class RequestTimeoutError extends Error {
  override readonly name = "RequestTimeoutError";

  constructor(subject: string, timeoutMs: number) {
    super(`no answer from ${subject} within ${timeoutMs} ms`);
  }
}

/** The transport is closed, or was closed while the call waited. */
export class ClosedError extends Error {
  override readonly name = "ClosedError";

  constructor(what: string, options?: ErrorOptions) {
    super(`${what}: the connection is closed`, options);
  }
}

/** The connection broke before the server had confirmed a flush. */
export class DisconnectedError extends Error {
  override readonly name = "DisconnectedError";

  constructor(what: string, options?: ErrorOptions) {
    super(`${what}: the connection to the server was lost`, options);
  }
}

/** The first connection could not be made: nobody answers at the address, or it refuses the credentials. */
export class ConnectError extends Error {
  override readonly name = "ConnectError";

  constructor(url: string, options: { readonly cause: unknown }) {
    const { cause } = options;
    super(`can't connect to NATS at ${url}: ${cause instanceof Error ? cause.message : cause}`, options);
  }
}

/** A subject, pattern or subject token that NATS or flowmesh does not allow. */
export class SubjectError extends Error {
  override readonly name = "SubjectError";
}

/** A header name or value that can't be sent. */
export class HeaderError extends Error {
  override readonly name = "HeaderError";
}

/** Bytes that are no frame of this protocol version, or values that don't fit into one. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

/** Somebody else has changed (or made, or removed) a key since the revision that was given. */
export class RevisionConflictError extends Error {
  override readonly name = "RevisionConflictError";

  constructor(key: string, options?: ErrorOptions) {
    super(`key ${key} was changed by somebody else`, options);
  }
}
