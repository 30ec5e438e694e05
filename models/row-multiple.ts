/** Rows of the run that all others are compared with. */
const REFERENCE_ROWS = 16;
/** What is tried, in this order: kernels work on up to eight rows at a time. */
const MULTIPLES = [1, 2, 4, 8];
/** Sizes of runs that are compared, before they are padded: each kind of remainder, and several of them. */
const SIZES = [1, 2, 3, 5, 7, 8, 13];

/** Thrown when no padding makes a node's bits independent of the other nodes of its run. */
export class UnstableKernelsError extends Error {
  override readonly name = "UnstableKernelsError";

  constructor() {
    super(
      "on this processor the model's kernels give a token other bits alone than among others, so guessed tokens " +
        'could change an answer; try the other numerics ("--numerics precise" or "--numerics fast")',
    );
  }
}

/**
 * The least number of rows, of those that kernels may work on at a time, of which every run must have a
 * multiple so that a row's bits do not depend on how many others are computed with it. Kernels that take
 * rows in pairs may sum a last single row in another order: onnxruntime's for 4-bit weights do on processors
 * with AVX2 alone, and those with AVX-512 VNNI do not. So it is tried rather than known.
 * @param run the first `rows` rows of one path, from an empty cache: [rows, width].
 */
export async function stableRowMultiple(
  minimumRows: number,
  run: (rows: number) => Promise<Float32Array>,
): Promise<number> {
  const expected = bitsOf(await run(REFERENCE_ROWS));
  for (const multiple of MULTIPLES) {
    if (
      await isStable(expected, new Set(SIZES.map((size) => paddedRows(size, minimumRows, multiple))), run)
    ) {
      return multiple;
    }
  }
  throw new UnstableKernelsError();
}

/** Rows that a run of so many nodes is padded to. */
export const paddedRows = (nodes: number, minimum: number, multiple: number): number =>
  Math.ceil(Math.max(nodes, minimum) / multiple) * multiple;

async function isStable(
  expected: Uint32Array,
  sizes: Iterable<number>,
  run: (rows: number) => Promise<Float32Array>,
): Promise<boolean> {
  for (const rows of sizes) {
    const bits = bitsOf(await run(rows));
    if (!bits.every((word, at) => word === expected[at])) return false;
  }
  return true;
}

const bitsOf = ({ buffer, byteOffset, length }: Float32Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, length);
