import { type FileHandle, open, stat } from "node:fs/promises";
import { ModelFileError } from "../errors.ts";
import { ByteCursor } from "./byte-cursor.ts";
import { foreignFormat } from "./foreign-format.ts";
import { type GgufTensor, type GgufValue, readHeader } from "./header.ts";

/** "GGUF" as a little-endian u32. */
const MAGIC = 0x46554747;
const SUPPORTED_VERSIONS: readonly number[] = [2, 3];
const MAX_READ_BYTES = 1024 * 1024 * 1024;

export interface GgufFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** That tensor's bytes alone, in an array of their own (so at an aligned address). */
  readTensor(name: string): Promise<Uint8Array>;
  close(): Promise<void>;
}

/**
 * Opens a GGUF file of version 2 or 3 and reads its metadata and tensor directory, but no tensor.
 * @throws {ModelFileError} when the file is missing, truncated, damaged or of another format.
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const handle = await openRegularFile(path);
  try {
    const { size: sizeBytes } = await handle.stat();
    const cursor = new ByteCursor(path, handle.fd, sizeBytes);
    const version = readVersion(path, cursor);
    const { metadata, tensors } = readHeader(cursor);
    refuseTruncated(path, sizeBytes, tensors);
    return {
      path,
      sizeBytes,
      version,
      metadata,
      tensors,
      readTensor: async (name) => {
        const tensor = tensors.get(name);
        if (tensor) return readBytes(path, handle, tensor);
        throw new ModelFileError(path, `it has no tensor ${name}`, "Use a complete model file");
      },
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function readBytes(path: string, handle: FileHandle, tensor: GgufTensor): Promise<Uint8Array> {
  const bytes = new Uint8Array(tensor.byteLength);
  let filled = 0;
  while (filled < bytes.length) {
    const wanted = Math.min(bytes.length - filled, MAX_READ_BYTES);
    const { bytesRead } = await handle.read(bytes, filled, wanted, tensor.offset + filled);
    if (bytesRead === 0) {
      throw new ModelFileError(
        path,
        `it became shorter while the tensor ${tensor.name} was read`,
        "Leave the file alone while it is in use, and fetch it again",
      );
    }
    filled += bytesRead;
  }
  return bytes;
}

async function openRegularFile(path: string): Promise<FileHandle> {
  try {
    // Before opening, since opening a named pipe would wait for its writer.
    const entry = await stat(path);
    if (entry.isFile()) return await open(path, "r");
    const kind = entry.isDirectory() ? "a directory" : "not a regular file";
    throw new ModelFileError(path, `it is ${kind}`, "Give the path of a .gguf file");
  } catch (cause) {
    if (cause instanceof ModelFileError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      const remedy = "Check the path, or pull the model first";
      throw new ModelFileError(path, "there is no such file", remedy, { cause });
    }
    throw new ModelFileError(path, `it cannot be opened (${message})`, "Check that you may read it", {
      cause,
    });
  }
}

function readVersion(path: string, cursor: ByteCursor): number {
  if (cursor.remainingBytes === 0) {
    throw new ModelFileError(path, "it is empty", "Fetch the file again");
  }
  const head = cursor.peek(64);
  const format = foreignFormat(head);
  if (format) {
    throw new ModelFileError(path, `it is not a GGUF file but ${format.name}`, format.remedy);
  }
  if (cursor.u32() !== MAGIC) {
    throw new ModelFileError(path, "it is not a GGUF file", "Give the path of a .gguf file");
  }
  const version = cursor.u32();
  if (SUPPORTED_VERSIONS.includes(version)) return version;
  // Only version 3 has a big-endian variant; its version number then reads as 0x03000000.
  if ((version & 0xffff) === 0) {
    throw new ModelFileError(
      path,
      "it is a big-endian GGUF file",
      "Convert the model with --bigendian left out, or fetch its little-endian file",
    );
  }
  throw new ModelFileError(
    path,
    `it has GGUF version ${version}, and versions ${SUPPORTED_VERSIONS.join(" and ")} are supported`,
    "Fetch or convert the model in version 3",
  );
}

function refuseTruncated(path: string, sizeBytes: number, tensors: ReadonlyMap<string, GgufTensor>): void {
  let endBytes = 0;
  for (const tensor of tensors.values()) endBytes = Math.max(endBytes, tensor.offset + tensor.byteLength);
  if (endBytes <= sizeBytes) return;
  throw new ModelFileError(
    path,
    `it is truncated: it has ${sizeBytes} bytes, and its tensors reach to byte ${endBytes}`,
    "Fetch the file again",
  );
}
