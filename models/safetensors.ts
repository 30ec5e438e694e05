import { type FileHandle, open } from "node:fs/promises";
import { ModelFileError } from "./errors.ts";

/** The length field in front of the JSON header. */
const PREFIX_BYTES = 8;
/** The format's own bound. */
const HEADER_BYTES_MAX = 100_000_000;
const FETCH_AGAIN = "Fetch the file again";

const BYTES_PER_ELEMENT = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
} as const;

export type SafetensorsType = keyof typeof BYTES_PER_ELEMENT;

export interface SafetensorsEntry {
  readonly name: string;
  readonly type: SafetensorsType;
  readonly shape: readonly number[];
  /** Absolute place of the row-major little-endian elements. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsFile {
  readonly path: string;
  /** The header's `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  /** An F32 or F16 tensor of that shape, as fp32. Throws a ModelFileError when it is missing or different. */
  readFloats(name: string, shape: readonly number[]): Promise<Float32Array>;
  /** An I32 tensor of that shape. Throws a ModelFileError when it is missing or different. */
  readIntegers(name: string, shape: readonly number[]): Promise<Int32Array>;
  close(): Promise<void>;
}

/**
 * Opens a safetensors file and checks its header; tensors are read when asked for.
 * @throws {ModelFileError} when the file is missing, truncated or damaged.
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const handle = await openFile(path);
  try {
    const { size } = await handle.stat();
    const { header, dataStart } = await readHeader(path, handle, size);
    const { metadata, tensors } = parseHeader(path, header, { dataStart, size });
    const read = (name: string, shape: readonly number[], types: readonly SafetensorsType[]) =>
      readBytes(path, handle, matchingEntry(path, tensors, { name, shape, types }));
    return {
      path,
      metadata,
      tensors,
      readFloats: async (name, shape) => {
        const bytes = await read(name, shape, ["F32", "F16"]);
        const isHalf = tensors.get(name)?.type === "F16";
        return isHalf ? new Float32Array(new Float16Array(bytes.buffer)) : new Float32Array(bytes.buffer);
      },
      readIntegers: async (name, shape) => new Int32Array((await read(name, shape, ["I32"])).buffer),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (cause) {
    const problem = `it cannot be opened (${(cause as Error).message})`;
    throw new ModelFileError(path, problem, "Check the path and that you may read it", { cause });
  }
}

async function readHeader(path: string, handle: FileHandle, size: number) {
  if (size < PREFIX_BYTES) {
    throw new ModelFileError(path, `it has only ${size} bytes, too few for a safetensors file`, FETCH_AGAIN);
  }
  const prefix = await readBytes(path, handle, { offset: 0, byteLength: PREFIX_BYTES });
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > HEADER_BYTES_MAX) {
    throw new ModelFileError(
      path,
      `its header would have ${length} bytes, so it is no safetensors file`,
      "Give the path of a .safetensors file",
    );
  }
  const dataStart = PREFIX_BYTES + Number(length);
  if (dataStart > size) {
    const problem = `it is truncated: its header needs ${dataStart} bytes, and it has ${size}`;
    throw new ModelFileError(path, problem, FETCH_AGAIN);
  }
  const bytes = await readBytes(path, handle, { offset: PREFIX_BYTES, byteLength: Number(length) });
  return { header: parseJson(path, bytes), dataStart };
}

function parseJson(path: string, bytes: Uint8Array): Record<string, unknown> {
  try {
    const header: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (isRecord(header)) return header;
  } catch (cause) {
    throw new ModelFileError(path, "its header is not JSON", FETCH_AGAIN, { cause });
  }
  throw new ModelFileError(path, "its header is not a JSON object", FETCH_AGAIN);
}

function parseHeader(
  path: string,
  header: Record<string, unknown>,
  bounds: { readonly dataStart: number; readonly size: number },
) {
  const metadata = new Map<string, string>();
  const tensors = new Map<string, SafetensorsEntry>();
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") {
      tensors.set(name, parseEntry(path, name, value, bounds));
    } else if (isRecord(value)) {
      for (const [key, text] of Object.entries(value)) metadata.set(key, String(text));
    }
  }
  return { metadata, tensors };
}

function parseEntry(
  path: string,
  name: string,
  value: unknown,
  { dataStart, size }: { readonly dataStart: number; readonly size: number },
): SafetensorsEntry {
  const damaged = (problem: string) => new ModelFileError(path, `tensor ${name} ${problem}`, FETCH_AGAIN);
  if (!isRecord(value)) throw damaged("has no description");
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(BYTES_PER_ELEMENT, dtype)) {
    throw damaged(`has the unknown type ${String(dtype)}`);
  }
  if (!isCounts(shape)) throw damaged("has no valid shape");
  if (!isCounts(offsets) || offsets.length !== 2) throw damaged("has no valid place in the file");
  const type = dtype as SafetensorsType;
  const [begin, end] = offsets as [number, number];
  const byteLength = shape.reduce((product, dim) => product * dim, BYTES_PER_ELEMENT[type]);
  if (end - begin !== byteLength) {
    throw damaged(`takes ${end - begin} bytes, and ${type} [${shape.join(", ")}] needs ${byteLength}`);
  }
  if (dataStart + end > size) {
    throw damaged(`ends at byte ${dataStart + end}, and the file has only ${size}: it is truncated`);
  }
  return { name, type, shape, offset: dataStart + begin, byteLength };
}

function matchingEntry(
  path: string,
  tensors: ReadonlyMap<string, SafetensorsEntry>,
  wanted: {
    readonly name: string;
    readonly shape: readonly number[];
    readonly types: readonly SafetensorsType[];
  },
): SafetensorsEntry {
  const { name, shape, types } = wanted;
  const entry = tensors.get(name);
  const remedy = "Use a complete file of the right kind";
  if (entry === undefined) throw new ModelFileError(path, `it has no tensor ${name}`, remedy);
  if (entry.shape.join() === shape.join() && types.includes(entry.type)) return entry;
  const found = `${entry.type} [${entry.shape.join(", ")}]`;
  const expected = `${types.join(" or ")} [${shape.join(", ")}]`;
  throw new ModelFileError(path, `tensor ${name} is ${found}, and ${expected} is needed`, remedy);
}

/** Bytes in a buffer of their own, so at an aligned address. */
async function readBytes(
  path: string,
  handle: FileHandle,
  { offset, byteLength }: { readonly offset: number; readonly byteLength: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(byteLength);
  for (let filled = 0; filled < byteLength; ) {
    const { bytesRead } = await handle.read(bytes, filled, byteLength - filled, offset + filled);
    if (bytesRead === 0) throw new ModelFileError(path, "it became shorter while it was read", FETCH_AGAIN);
    filled += bytesRead;
  }
  return bytes;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);
