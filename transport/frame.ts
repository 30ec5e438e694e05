import { crc32 } from "node:zlib";
import { FrameError } from "./errors.ts";
import type { Headers } from "./transport.ts";

/**
 * The binary frames of the token path. All numbers are little-endian; every array starts at a multiple
 * of four bytes. The body alone is authoritative; the NATS headers repeat parts of it for people.
 *
 *   offset  type   segment                          features
 *   0       4×u8   "FLOW"                           "FLOW"
 *   4       u8     version, 2                       version, 2
 *   5       u8     kind, 1                          kind, 2
 *   6       u8     flags: bit 0 = committed         0
 *   7       u8     type of rows: 0 none,            type of rows: 1 f32, 2 f16
 *                  1 f32, 2 f16
 *   8       u32    epoch                            epoch
 *   12      u32    generation                       generation
 *   16      u32    sequence                         layer
 *   20      u32    nodes, at most 4,096             nodes, at most 4,096
 *   24      u32    width, at most 65,536;           width, at most 65,536
 *                  0 without rows
 *   28      u32    bytes of spec, at most 65,536;   0
 *                  0 unless sequence is 0
 *   32      u32    certain                          0
 *   36      u32[]  ids [nodes]                      positions [nodes]
 *           u32[]  parents [nodes]
 *           u32[]  tokens [nodes]
 *           u32[]  positions [nodes]
 *           f32[]  rows [nodes, width], or f16[]    rows [nodes, width], or f16[]
 *           u8[]   spec, JSON
 *   end-4   u32    CRC-32 (IEEE 802.3) of all bytes before it
 *
 * The lengths in the header give the length of the body exactly; a body with a byte more or less, with an
 * unknown version, kind, flag or type, or with a wrong checksum is refused as a whole.
 */
const MAGIC = 0x574f_4c46;
const VERSION = 2;
const HEADER_BYTES = 36;
const CHECKSUM_BYTES = 4;
const COMMITTED = 1;
const KIND_CODES = { segment: 1, features: 2 } as const;
const ARRAYS = { segment: 4, features: 1 } as const;
const DTYPE_CODES = { none: 0, f32: 1, f16: 2 } as const;
const DTYPE_BYTES = { none: 0, f32: 4, f16: 2 } as const;

export const NODES_MAX = 4096;
export const WIDTH_MAX = 65_536;
export const SPEC_BYTES_MAX = 65_536;

/** `f16` halves the rows for slow links, rounding to nearest even; beyond ±65,504 it gives infinity. */
export type RowType = "f32" | "f16";

export interface SegmentFrame {
  readonly kind: "segment";
  readonly epoch: number;
  readonly generation: number;
  readonly sequence: number;
  readonly committed: boolean;
  /** Tokens that were certain when the tree manager sent it, the prompt's included. */
  readonly certain: number;
  /** [nodes] each; see SegmentNodes in decoding/segment.ts. */
  readonly nodes: {
    readonly ids: Uint32Array;
    readonly parents: Uint32Array;
    readonly tokens: Uint32Array;
    readonly positions: Uint32Array;
  };
  /** JSON, only on sequence 0: what the stages must know of the session. Never empty. */
  readonly spec?: Uint8Array;
  /** [nodes, width]; absent on the way to the first stage. */
  readonly rows?: Float32Array;
  /** 0 without rows. */
  readonly width: number;
}

export interface FeatureFrame {
  readonly kind: "features";
  readonly epoch: number;
  readonly generation: number;
  /** 1-based layer after which the rows were taken. */
  readonly layer: number;
  /** [nodes] */
  readonly positions: Uint32Array;
  /** [nodes, width] */
  readonly rows: Float32Array;
  readonly width: number;
}

export interface EncodedFrame {
  readonly headers: Headers;
  readonly body: Uint8Array;
}

interface Layout {
  readonly kind: keyof typeof KIND_CODES;
  readonly dtype: keyof typeof DTYPE_CODES;
  readonly committed: boolean;
  readonly epoch: number;
  readonly generation: number;
  /** Sequence of a segment, layer of features. */
  readonly number: number;
  readonly nodes: number;
  readonly width: number;
  readonly specBytes: number;
  readonly certain: number;
}

interface Parts {
  /** [nodes] each */
  readonly arrays: readonly Uint32Array[];
  readonly rows?: Float32Array | undefined;
  readonly spec?: Uint8Array | undefined;
}

function inRange(value: number, what: string, max: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new FrameError(`${what} is ${value}; it must be a whole number from 0 to ${max}`);
}

function checkLength(array: ArrayLike<number>, length: number, what: string): void {
  if (array.length !== length)
    throw new FrameError(`${what} must have length ${length}, not ${array.length}`);
}

function checkLayout(layout: Layout): Layout {
  inRange(layout.epoch, "epoch", 0xffff_ffff);
  inRange(layout.generation, "generation", 0xffff_ffff);
  inRange(layout.number, layout.kind === "segment" ? "sequence" : "layer", 0xffff_ffff);
  inRange(layout.nodes, "number of nodes", NODES_MAX);
  inRange(layout.width, "width", layout.dtype === "none" ? 0 : WIDTH_MAX);
  const carriesSpec = layout.kind === "segment" && layout.number === 0;
  inRange(layout.specBytes, "number of spec bytes", carriesSpec ? SPEC_BYTES_MAX : 0);
  inRange(layout.certain, "number of certain tokens", layout.kind === "segment" ? 0xffff_ffff : 0);
  return layout;
}

function bodyBytes(layout: Layout): number {
  const arrayBytes = 4 * layout.nodes * ARRAYS[layout.kind];
  const rowBytes = layout.nodes * layout.width * DTYPE_BYTES[layout.dtype];
  return HEADER_BYTES + arrayBytes + rowBytes + layout.specBytes + CHECKSUM_BYTES;
}

function encode(layout: Layout, parts: Parts): Uint8Array {
  checkLayout(layout);
  for (const array of parts.arrays) checkLength(array, layout.nodes, "an array of one number a node");
  if (parts.rows !== undefined) checkLength(parts.rows, layout.nodes * layout.width, "rows [nodes, width]");
  const body = new Uint8Array(bodyBytes(layout));
  const view = new DataView(body.buffer);
  view.setUint32(0, MAGIC, true);
  body[4] = VERSION;
  body[5] = KIND_CODES[layout.kind];
  body[6] = layout.committed ? COMMITTED : 0;
  body[7] = DTYPE_CODES[layout.dtype];
  const numbers = [layout.epoch, layout.generation, layout.number, layout.nodes, layout.width];
  new Uint32Array(body.buffer, 8, 7).set([...numbers, layout.specBytes, layout.certain]);
  let offset = HEADER_BYTES;
  for (const array of parts.arrays) {
    new Uint32Array(body.buffer, offset, layout.nodes).set(array);
    offset += 4 * layout.nodes;
  }
  if (parts.rows !== undefined) {
    const Rows = layout.dtype === "f16" ? Float16Array : Float32Array;
    new Rows(body.buffer, offset, parts.rows.length).set(parts.rows);
    offset += parts.rows.length * Rows.BYTES_PER_ELEMENT;
  }
  if (parts.spec !== undefined) body.set(parts.spec, offset);
  const end = body.length - CHECKSUM_BYTES;
  view.setUint32(end, crc32(body.subarray(0, end)), true);
  return body;
}

function keyOf<Name extends string>(codes: Readonly<Record<Name, number>>, code: number, what: string): Name {
  for (const name in codes) if (codes[name] === code) return name;
  throw new FrameError(`unknown ${what} ${code}`);
}

function readLayout(body: Uint8Array): Layout {
  if (body.length < HEADER_BYTES + CHECKSUM_BYTES) {
    throw new FrameError(`a body of ${body.length} bytes is too short for a frame`);
  }
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  if (view.getUint32(0, true) !== MAGIC) throw new FrameError('the body does not begin with "FLOW"');
  if (body[4] !== VERSION) throw new FrameError(`frame version ${body[4]}; this program reads ${VERSION}`);
  const kind = keyOf(KIND_CODES, body[5]!, "frame kind");
  const flags = body[6]!;
  if ((flags & ~(kind === "segment" ? COMMITTED : 0)) !== 0) throw new FrameError(`unknown flags ${flags}`);
  const dtype = keyOf(DTYPE_CODES, body[7]!, "type of rows");
  if (kind === "features" && dtype === "none") throw new FrameError("features without rows");
  const u32 = (offset: number) => view.getUint32(offset, true);
  const [epoch, generation, number] = [u32(8), u32(12), u32(16)];
  const [nodes, width, specBytes, certain] = [u32(20), u32(24), u32(28), u32(32)];
  const committed = flags === COMMITTED;
  return checkLayout({ kind, dtype, committed, epoch, generation, number, nodes, width, specBytes, certain });
}

/** Every length is checked against the body's before anything is allocated. */
function decode(bytes: Uint8Array, kind: Layout["kind"]): { layout: Layout } & Parts {
  const layout = readLayout(bytes);
  if (layout.kind !== kind) throw new FrameError(`the frame is of kind ${layout.kind}, not ${kind}`);
  if (bytes.length !== bodyBytes(layout)) {
    throw new FrameError(`the body has ${bytes.length} bytes; its header asks for ${bodyBytes(layout)}`);
  }
  const body = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  const end = body.length - CHECKSUM_BYTES;
  const { buffer, byteOffset } = body;
  const checksum = new DataView(buffer, byteOffset + end, CHECKSUM_BYTES).getUint32(0, true);
  if (checksum !== crc32(body.subarray(0, end))) throw new FrameError("the body's checksum is wrong");
  let offset = byteOffset + HEADER_BYTES;
  const arrays: Uint32Array[] = [];
  for (let index = 0; index < ARRAYS[kind]; index++, offset += 4 * layout.nodes) {
    arrays.push(new Uint32Array(buffer, offset, layout.nodes));
  }
  const rows = readRows(layout, buffer, offset);
  const spec = layout.specBytes > 0 ? body.subarray(end - layout.specBytes, end) : undefined;
  return { layout, arrays, rows, spec };
}

/** `f32` rows are a view of the body, `f16` rows a copy. */
function readRows(layout: Layout, buffer: ArrayBufferLike, offset: number): Float32Array | undefined {
  const length = layout.nodes * layout.width;
  if (layout.dtype === "f32") return new Float32Array(buffer, offset, length);
  return layout.dtype === "f16" ? new Float32Array(new Float16Array(buffer, offset, length)) : undefined;
}

function headersFor(layout: Layout, positions: Uint32Array): Headers {
  const first = positions.reduce((least, position) => Math.min(least, position), Number.POSITIVE_INFINITY);
  const last = positions.reduce((most, position) => Math.max(most, position), 0);
  return {
    "Flow-Kind": layout.kind,
    "Flow-Epoch": String(layout.epoch),
    "Flow-Gen": String(layout.generation),
    [layout.kind === "segment" ? "Flow-Seq" : "Flow-Layer"]: String(layout.number),
    "Flow-Nodes": String(layout.nodes),
    ...(layout.nodes > 0 && { "Flow-Pos": first === last ? String(first) : `${first}-${last}` }),
    ...(layout.dtype !== "none" && { "Flow-Shape": `${layout.nodes}x${layout.width}:${layout.dtype}` }),
  };
}

/** Throws FrameError when the frame's values don't fit together or into the bounds. */
export function encodeSegment(frame: SegmentFrame, dtype: RowType): EncodedFrame {
  const { ids, parents, tokens, positions } = frame.nodes;
  const layout: Layout = {
    kind: "segment",
    committed: frame.committed,
    epoch: frame.epoch,
    generation: frame.generation,
    dtype: frame.rows === undefined ? "none" : dtype,
    number: frame.sequence,
    nodes: ids.length,
    width: frame.rows === undefined ? 0 : frame.width,
    specBytes: frame.spec?.length ?? 0,
    certain: frame.certain,
  };
  const arrays = [ids, parents, tokens, positions];
  const body = encode(layout, { arrays, rows: frame.rows, spec: frame.spec });
  return { headers: headersFor(layout, positions), body };
}

/**
 * The arrays of the result are views of the body, so the caller must own it; an unaligned body is copied.
 * Throws FrameError, and nothing else, for a body that is no intact segment.
 */
export function decodeSegment(message: { readonly body: Uint8Array }): SegmentFrame {
  const { layout, arrays, rows, spec } = decode(message.body, "segment");
  const [ids, parents, tokens, positions] = arrays as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  const { epoch, generation, number: sequence, committed, certain, width } = layout;
  const nodes = { ids, parents, tokens, positions };
  return {
    kind: "segment",
    epoch,
    generation,
    sequence,
    committed,
    certain,
    nodes,
    width,
    ...(spec !== undefined && { spec }),
    ...(rows !== undefined && { rows }),
  };
}

/** Throws FrameError when the frame's values don't fit together or into the bounds. */
export function encodeFeatures(frame: FeatureFrame, dtype: RowType): EncodedFrame {
  const { epoch, generation, layer: number, positions, rows, width } = frame;
  const nodes = positions.length;
  const fixed = { kind: "features", committed: false, specBytes: 0, certain: 0 } as const;
  const layout: Layout = { ...fixed, dtype, epoch, generation, number, nodes, width };
  const body = encode(layout, { arrays: [positions], rows });
  return { headers: headersFor(layout, positions), body };
}

/** As decodeSegment, for features. */
export function decodeFeatures(message: { readonly body: Uint8Array }): FeatureFrame {
  const { layout, arrays, rows } = decode(message.body, "features");
  const { epoch, generation, number: layer, width } = layout;
  return {
    kind: "features",
    epoch,
    generation,
    layer,
    positions: arrays[0]!,
    rows: rows!,
    width,
  };
}
