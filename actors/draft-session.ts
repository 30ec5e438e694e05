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
  /** Positions before this one have been handed out. */
  #done = 0;

  constructor(generation: number, layers: readonly number[]) {
    this.generation = generation;
    this.#layers = layers;
    this.#rows = layers.map(() => new Map());
  }

  /** Tokens known so far, from position 0. */
  get length(): number {
    return this.#tokens.length;
  }

  /** Position whose row comes next; everything before it is in the draft head's context. */
  get done(): number {
    return this.#done;
  }

  /** False when tokens before `position` are missing: a commit was lost. */
  addTokens(position: number, tokens: readonly number[]): boolean {
    if (position > this.#tokens.length) return false;
    for (const token of tokens.slice(this.#tokens.length - position)) this.#tokens.push(token);
    return true;
  }

  addRows(layer: number, positions: Uint32Array, rows: Float32Array, width: number): void {
    const byPosition = this.#rows[this.#layers.indexOf(layer)];
    if (byPosition === undefined) return;
    positions.forEach((position, index) => {
      if (position >= this.#done) byPosition.set(position, rows.slice(index * width, (index + 1) * width));
    });
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
