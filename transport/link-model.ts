import type { Headers } from "./transport.ts";

/**
 * A link from one device to another, as a sender sees it: its messages leave one after the other, each as
 * long on its way into the link as its bytes take at the rate, and arrive after the delay. It is what
 * Linux' `netem delay … rate …` does to packets.
 */
export interface LinkModel {
  /** One-way time of a message without length, in milliseconds. */
  readonly delayMs: number;
  /** Megabits (10^6) a second; absent: as many as one likes. */
  readonly mbps?: number;
}

/** A link as users write it: `1ms/150mbit`, `20ms` or `none`. */
export interface NamedLink extends LinkModel {
  readonly name: string;
}

/** One direction of a link: when what is sent arrives. */
export class LinkSchedule {
  readonly #model: LinkModel;
  #freeAtMs = Number.NEGATIVE_INFINITY;

  constructor(model: LinkModel) {
    this.#model = model;
  }

  /** When a message that is sent now arrives; those sent before it go first. */
  send(nowMs: number, bytes: number): number {
    const { delayMs, mbps = Number.POSITIVE_INFINITY } = this.#model;
    this.#freeAtMs =
      Math.max(nowMs, this.#freeAtMs) + (bytes * BITS_PER_BYTE) / (mbps * BITS_PER_MS_AND_MBPS);
    return this.#freeAtMs + delayMs;
  }
}

const BITS_PER_BYTE = 8;
const BITS_PER_MS_AND_MBPS = 1000;

const encoder = new TextEncoder();
const HEADER_BLOCK_BYTES = "NATS/1.0\r\n\r\n".length;
const HEADER_LINE_BYTES = ": \r\n".length;

/** What a message counts on a link: subject, headers as NATS writes them, and body. */
export function messageBytes(subject: string, body: Uint8Array, headers: Headers = {}): number {
  const lines = Object.entries(headers).map(
    ([name, value]) => name.length + encoder.encode(value).length + HEADER_LINE_BYTES,
  );
  const headerBytes = lines.length === 0 ? 0 : lines.reduce((sum, bytes) => sum + bytes, HEADER_BLOCK_BYTES);
  return subject.length + headerBytes + body.length;
}
