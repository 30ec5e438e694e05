/** Rows ready for the draft head: verified positions whose next token is known, in order. */
export interface ReadyContext {
  readonly position: number;
  readonly nextTokens: Uint32Array;
  /** Per tap [rows, width]. */
  readonly taps: readonly Float32Array[];
}

/** Rows handed to the draft head at once. */
const CONTEXT_ROWS_MAX = 64;

/**
 * Puts together what the draft head needs from what the stages send separately: the tokens (from the
 * tree manager and from commits) and the tap rows of each layer, which come from whichever stage holds
 * that layer, each in its own time. Everything here is on the committed path, so a position names a row.
 */
export class DraftSession {
  readonly generation: number;
  readonly #layers: readonly number[];
  readonly #tokens: number[] = [];
  readonly #rows: readonly Map<number, Float32Array>[];
  /** Per layer, where its rows began, and the position after its last one: each layer's rows come in order. */
  readonly #starts: (number | undefined)[];
  readonly #ends: number[];
  /** Until it is known where rows begin, none of them can be missed. */
  #begun = false;
  /** Positions before this one have been handed out. */
  #done = 0;

  constructor(generation: number, layers: readonly number[]) {
    this.generation = generation;
    this.#layers = layers;
    this.#rows = layers.map(() => new Map());
    this.#starts = layers.map(() => undefined);
    this.#ends = layers.map(() => 0);
  }

  /** Tokens known so far, from position 0. */
  get length(): number {
    return this.#tokens.length;
  }

  /** Position whose row comes next; everything before it is in the draft head's context. */
  get done(): number {
    return this.#done;
  }

  /**
   * All tokens that are certain, and how many positions need no rows, as the draft head's context has them already.
   * False when rows after those are missing.
   */
  begin(tokens: readonly number[], done: number): boolean {
    this.addTokens(0, tokens);
    this.#begun = true;
    this.#done = Math.max(this.#done, done);
    return this.#starts.every((start) => start === undefined || start <= this.#done);
  }

  /** False when tokens before `position` are missing: a commit was lost. */
  addTokens(position: number, tokens: readonly number[]): boolean {
    if (position > this.#tokens.length) return false;
    for (const token of tokens.slice(this.#tokens.length - position)) this.#tokens.push(token);
    return true;
  }

  /** False when rows of this layer before these are missing: a message was lost. */
  addRows(layer: number, positions: Uint32Array, rows: Float32Array, width: number): boolean {
    const index = this.#layers.indexOf(layer);
    const byPosition = this.#rows[index];
    const first = positions[0];
    if (byPosition === undefined || first === undefined) return true;
    const start = this.#starts[index] ?? (this.#begun ? this.#done : first);
    const end = Math.max(start, this.#ends[index] ?? 0);
    if (first > end) return false;
    this.#starts[index] = Math.min(start, first);
    positions.forEach((position, row) => {
      if (position >= this.#done) byPosition.set(position, rows.slice(row * width, (row + 1) * width));
    });
    this.#ends[index] = Math.max(end, first + positions.length);
    return true;
  }

  /** Takes the next run of complete rows; undefined when there is none yet. */
  take(): ReadyContext | undefined {
    const position = this.#done;
    let end = position;
    const limit = Math.min(this.#tokens.length - 1, position + CONTEXT_ROWS_MAX);
    while (end < limit && this.#rows.every((rows) => rows.has(end))) end++;
    if (end === position) return undefined;
    const taps = this.#rows.map((rows) => takeRows(rows, position, end));
    this.#done = end;
    return { position, nextTokens: Uint32Array.from(this.#tokens.slice(position + 1, end + 1)), taps };
  }
}

function takeRows(rows: Map<number, Float32Array>, from: number, end: number): Float32Array {
  const width = rows.get(from)?.length ?? 0;
  const block = new Float32Array((end - from) * width);
  for (let position = from; position < end; position++) {
    const row = rows.get(position);
    if (row !== undefined) block.set(row, (position - from) * width);
    rows.delete(position);
  }
  return block;
}
