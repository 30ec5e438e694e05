import { HeaderError, PayloadTooLargeError } from "./errors.ts";
import type { Headers } from "./transport.ts";

/** The part of the server's `max_payload` that is kept for headers, so that bodies have one fixed limit. */
export const HEADER_BYTES_MAX = 4096;

const encoder = new TextEncoder();

/**
 * Gives the headers as a receiver will see them (values trimmed). Throws HeaderError for what NATS can't
 * carry, PayloadTooLargeError when they need more than HEADER_BYTES_MAX on the wire.
 */
export function checkHeaders(subject: string, headers: Headers): Headers {
  const checked: Record<string, string> = {};
  let bytes = "NATS/1.0\r\n\r\n".length;
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[A-Za-z0-9_-]+$/.test(name)) {
      throw new HeaderError(`header name "${name}" may only have letters, digits, "-" and "_"`);
    }
    if (/[\r\n]/.test(value)) throw new HeaderError(`value of header ${name} has a line break`);
    checked[name] = value.trim();
    bytes += name.length + encoder.encode(value).length + ": \r\n".length;
  }
  if (bytes > HEADER_BYTES_MAX) throw new PayloadTooLargeError(subject, "headers", bytes, HEADER_BYTES_MAX);
  return checked;
}
