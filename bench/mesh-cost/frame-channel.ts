import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { MemoryMesh } from "../../transport/memory.ts";
import { stageSubject } from "../../transport/subjects.ts";
import type { Headers, Transport } from "../../transport/transport.ts";

/** Carries frames from one end to the other, in order. */
export interface FrameChannel {
  send(body: Uint8Array, headers: Headers): void;
  /** The receiver may keep what it gets; it is 8-byte aligned. */
  onFrame(receive: (body: Uint8Array) => void): void;
  close(): Promise<void>;
}

/** The ways that are compared. */
export const CHANNELS = ["nats", "tcp", "memory"] as const;
export type ChannelKind = (typeof CHANNELS)[number];

type Side = "near" | "far";
const MESH = "bench-hop";
/** Each side hears what is sent to a stage of its own. */
const subjectOf = (side: Side) => stageSubject(MESH, 1, side === "far" ? 1 : 0, "hop");

export function transportChannel(transport: Transport, side: Side): FrameChannel {
  const other = subjectOf(side === "far" ? "near" : "far");
  return {
    send: (body, headers) => transport.publish(other, body, headers),
    onFrame: (receive) => void transport.subscribe(subjectOf(side), ({ body }) => receive(body)),
    close: () => transport.close(),
  };
}

/** Both ends, within this process. */
export function memoryChannels(): Record<Side, FrameChannel> {
  const mesh = new MemoryMesh();
  return {
    near: transportChannel(mesh.connect("near"), "near"),
    far: transportChannel(mesh.connect("far"), "far"),
  };
}

export function connectTcp(host: string, port: number): Promise<FrameChannel> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port }, () => resolve(socketChannel(socket)));
    socket.once("error", reject);
  });
}

/** Resolves with the port; `onPeer` gets a channel to each one that connects. */
export function listenTcp(host: string, onPeer: (channel: FrameChannel) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => onPeer(socketChannel(socket)));
    server.once("error", reject);
    server.listen(0, host, () => resolve((server.address() as AddressInfo).port));
  });
}

const LENGTH_BYTES = 4;

/** A frame is its length in 4 bytes, little-endian, and its body. */
function socketChannel(socket: Socket): FrameChannel {
  socket.setNoDelay(true);
  let receive: (body: Uint8Array) => void = () => {};
  const reader = new FrameReader((body) => receive(body));
  socket.on("data", (chunk: Buffer) => reader.take(chunk));
  return {
    send(body) {
      const length = new Uint8Array(LENGTH_BYTES);
      new DataView(length.buffer).setUint32(0, body.length, true);
      socket.cork();
      socket.write(length);
      socket.write(body);
      socket.uncork();
    },
    onFrame(handler) {
      receive = handler;
    },
    close: () => new Promise((resolve) => void socket.end(() => resolve())),
  };
}

/** Puts the frames together again that arrive in pieces. */
class FrameReader {
  readonly #onFrame: (body: Uint8Array) => void;
  #length = new Uint8Array(LENGTH_BYTES);
  /** The body that is being filled; undefined while the length is. */
  #body: Uint8Array | undefined;
  #filled = 0;

  constructor(onFrame: (body: Uint8Array) => void) {
    this.#onFrame = onFrame;
  }

  take(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const target = this.#body ?? this.#length;
      const piece = chunk.subarray(at, at + target.length - this.#filled);
      target.set(piece, this.#filled);
      this.#filled += piece.length;
      at += piece.length;
      if (this.#filled === target.length) this.#complete();
    }
  }

  #complete(): void {
    this.#filled = 0;
    const body = this.#body ?? new Uint8Array(new DataView(this.#length.buffer).getUint32(0, true));
    // An empty body is whole at once: no byte may come behind it.
    const isWhole = this.#body !== undefined || body.length === 0;
    this.#body = isWhole ? undefined : body;
    if (isWhole) this.#onFrame(body);
  }
}
