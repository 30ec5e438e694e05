/** Truncation of a distribution before sampling: top-k, then nucleus (top-p). Order is (logit descending, id ascending). */

/** Widths of 1/16 nat up to 64 nats below the maximum; the last bin takes the rest, whose mass is nil. */
const BINS = 1024;
const BINS_PER_NAT = 16;
const DEPTH_NATS_MAX = BINS / BINS_PER_NAT;

/** Whether token `a` ranks behind token `b`. */
function ranksBehind(logits: Float32Array, a: number, b: number): boolean {
  const logitA = logits[a]!;
  const logitB = logits[b]!;
  return logitA < logitB || (logitA === logitB && a > b);
}

/**
 * Writes the ids of the `k` highest-ranked tokens (all, when k is 0 or too large) to the front of
 * `out` [>= kept], in no particular order, and gives their number.
 */
export function topK(logits: Float32Array, k: number, out: Int32Array): number {
  const size = logits.length;
  if (k <= 0 || k >= size) {
    for (let i = 0; i < size; i++) out[i] = i;
    return size;
  }
  // A heap with the lowest-ranked kept token at its root.
  for (let i = 0; i < k; i++) out[i] = i;
  for (let i = (k >>> 1) - 1; i >= 0; i--) siftDown(logits, out, i, k);
  let threshold = logits[out[0]!]!;
  for (let i = k; i < size; i++) {
    // Later ids lose ties, so only a strictly larger logit gets in.
    if (!(logits[i]! > threshold)) continue;
    out[0] = i;
    siftDown(logits, out, 0, k);
    threshold = logits[out[0]!]!;
  }
  return k;
}

function siftDown(logits: Float32Array, heap: Int32Array, start: number, size: number): void {
  const item = heap[start]!;
  let at = start;
  for (let child = 2 * at + 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size && ranksBehind(logits, heap[child + 1]!, heap[child]!)) child++;
    if (!ranksBehind(logits, heap[child]!, item)) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = item;
}

export interface NucleusOptions {
  readonly temperature: number;
  /** Mass in (0, 1). */
  readonly topP: number;
  /** Largest logit among the tokens. */
  readonly max: number;
}

/** Top-p selection with its own scratch memory. */
export class Nucleus {
  /** [BINS] softmax mass of the histogram's bins. */
  readonly #mass = new Float64Array(BINS);
  /** [tokens] bin of each token. */
  #bins = new Uint16Array(0);

  /**
   * Keeps the smallest set of highest-ranked tokens whose tempered softmax mass reaches `topP`, at
   * least one: moves them to the front of `tokens` and gives their number. Only the tokens of the bin
   * in which the mass is reached have to be sorted.
   */
  keep(logits: Float32Array, tokens: Int32Array, options: NucleusOptions): number {
    const total = this.#fill(logits, tokens, options);
    const mass = this.#mass;
    const target = options.topP * total;
    let reached = 0;
    let crossing = 0;
    while (crossing < BINS - 1 && reached + mass[crossing]! < target) reached += mass[crossing++]!;

    let kept = 0;
    const border: number[] = [];
    for (let i = 0; i < tokens.length; i++) {
      const bin = this.#bins[i]!;
      if (bin < crossing) tokens[kept++] = tokens[i]!;
      else if (bin === crossing) border.push(tokens[i]!);
    }
    border.sort((a, b) => (ranksBehind(logits, a, b) ? 1 : -1));
    for (const token of border) {
      if (reached >= target && kept > 0) break;
      reached += Math.exp((logits[token]! - options.max) / options.temperature);
      tokens[kept++] = token;
    }
    return kept;
  }

  /** Fills the histogram and gives the total mass. */
  #fill(logits: Float32Array, tokens: Int32Array, { temperature, max }: NucleusOptions): number {
    if (this.#bins.length < tokens.length) this.#bins = new Uint16Array(tokens.length);
    const bins = this.#bins;
    const mass = this.#mass.fill(0);
    for (let i = 0; i < tokens.length; i++) {
      const depthNats = (max - logits[tokens[i]!]!) / temperature;
      const bin = depthNats < DEPTH_NATS_MAX ? (depthNats * BINS_PER_NAT) | 0 : BINS - 1;
      bins[i] = bin;
      mass[bin]! += Math.exp(-depthNats);
    }
    let total = 0;
    for (let bin = 0; bin < BINS; bin++) total += mass[bin]!;
    return total;
  }
}
