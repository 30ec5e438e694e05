import { readSync } from "node:fs";
import { ModelFileError } from "../errors.ts";

const WINDOW_BYTES = 1024 * 1024;
const MAX_STRING_BYTES = 64 * 1024 * 1024;

/**
 * Reads little-endian values from the front of a file through a sliding window, so that only what was
 * asked for is ever in memory. It refuses a length that the rest of the file cannot hold before anything
 * is allocated for it.
 */
export class ByteCursor {
  readonly #path: string;
  readonly #fd: number;
  readonly #sizeBytes: number;
  #window = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  #windowStart = 0;
  #position = 0;
  readonly #text = new TextDecoder();

  constructor(path: string, fd: number, sizeBytes: number) {
    this.#path = path;
    this.#fd = fd;
    this.#sizeBytes = sizeBytes;
  }

  get position(): number {
    return this.#position;
  }

  get remainingBytes(): number {
    return this.#sizeBytes - this.#position;
  }

  u8 = (): number => this.#view.getUint8(this.#take(1));
  i8 = (): number => this.#view.getInt8(this.#take(1));
  u16 = (): number => this.#view.getUint16(this.#take(2), true);
  i16 = (): number => this.#view.getInt16(this.#take(2), true);
  u32 = (): number => this.#view.getUint32(this.#take(4), true);
  i32 = (): number => this.#view.getInt32(this.#take(4), true);
  f32 = (): number => this.#view.getFloat32(this.#take(4), true);
  f64 = (): number => this.#view.getFloat64(this.#take(8), true);
  u64 = (): number | bigint => exactNumber(this.#view.getBigUint64(this.#take(8), true));
  i64 = (): number | bigint => exactNumber(this.#view.getBigInt64(this.#take(8), true));

  /** A u64 that counts or locates `what`; at most `limit`. */
  count(what: string, limit: number): number {
    const value = this.u64();
    if (value > limit) {
      throw this.damaged(`it declares ${value} for ${what}, and at most ${limit} can be right`);
    }
    return Number(value);
  }

  /** A u64 byte length and that many bytes of UTF-8. */
  string(what: string): string {
    const byteLength = this.count(`the bytes of ${what}`, MAX_STRING_BYTES);
    const start = this.#take(byteLength);
    return this.#text.decode(this.#window.subarray(start, start + byteLength));
  }

  /** Up to `byteLength` of the next bytes, without passing over them. */
  peek(byteLength: number): Uint8Array {
    const available = Math.min(byteLength, this.remainingBytes);
    const start = this.#take(available);
    this.#position -= available;
    return this.#window.subarray(start, start + available);
  }

  damaged(problem: string): ModelFileError {
    return new ModelFileError(
      this.#path,
      `its header is damaged near byte ${this.#position}: ${problem}`,
      "Fetch the file again",
    );
  }

  /** Refuses the file when it ends before the next `byteLength` bytes do. */
  require(byteLength: number): void {
    if (byteLength <= this.remainingBytes) return;
    throw new ModelFileError(
      this.#path,
      `it is truncated: it ends at byte ${this.#sizeBytes}, inside its header`,
      "Fetch the file again",
    );
  }

  /** Makes the next `byteLength` bytes available and returns their index in the window. */
  #take(byteLength: number): number {
    this.require(byteLength);
    const end = this.#position + byteLength;
    if (end > this.#windowStart + this.#window.length) this.#refill(byteLength);
    const index = this.#position - this.#windowStart;
    this.#position = end;
    return index;
  }

  #refill(byteLength: number): void {
    const wanted = Math.min(this.remainingBytes, Math.max(byteLength, WINDOW_BYTES));
    const window = new Uint8Array(wanted);
    let filled = 0;
    while (filled < wanted) {
      const read = readSync(this.#fd, window, filled, wanted - filled, this.#position + filled);
      if (read === 0) throw this.damaged("the file became shorter while it was read");
      filled += read;
    }
    this.#window = window;
    this.#view = new DataView(window.buffer);
    this.#windowStart = this.#position;
  }
}

const exactNumber = (value: bigint): number | bigint =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER)
    ? Number(value)
    : value;
