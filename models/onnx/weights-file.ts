import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";

/** Large tensors start on a page, so that the runtime can map them; small ones on a SIMD boundary. */
const PAGE_BYTES = 4096;
const SIMD_BYTES = 64;
const LARGE_TENSOR_BYTES = 65_536;

/** Where an external tensor lies in the weights file. */
export interface WeightRange {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** A tensor's place in the weights file, filled front to back. */
export interface WeightRegion {
  readonly range: WeightRange;
  append(bytes: Uint8Array): void;
  /** Throws unless every byte was written. */
  finish(): void;
}

/**
 * The external data file beside a graph. Space is reserved first and filled piece by piece, in any
 * order between tensors, so that a compile never holds more than a slice of one tensor.
 */
export class WeightsFile {
  readonly #name: string;
  readonly #descriptor: number;
  #length = 0;

  /** `path` is created or emptied; `name` is how the graph beside it refers to it. */
  constructor(path: string, name: string) {
    this.#name = name;
    this.#descriptor = openSync(path, "w");
  }

  reserve(length: number): WeightRegion {
    const alignment = length >= LARGE_TENSOR_BYTES ? PAGE_BYTES : SIMD_BYTES;
    const offset = Math.ceil(this.#length / alignment) * alignment;
    this.#length = offset + length;
    const descriptor = this.#descriptor;
    let written = 0;
    return {
      range: { file: this.#name, offset, length },
      append(bytes) {
        if (written + bytes.byteLength > length) {
          throw new RangeError(`tensor of ${length} bytes got ${written + bytes.byteLength}`);
        }
        for (let done = 0; done < bytes.byteLength; ) {
          done += writeSync(descriptor, bytes, done, bytes.byteLength - done, offset + written + done);
        }
        written += bytes.byteLength;
      },
      finish() {
        if (written !== length) throw new RangeError(`tensor of ${length} bytes got only ${written}`);
      },
    };
  }

  /** Puts everything on disk and closes the file. */
  close(): void {
    fsyncSync(this.#descriptor);
    closeSync(this.#descriptor);
  }
}
