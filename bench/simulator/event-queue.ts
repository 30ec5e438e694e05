interface Entry {
  readonly atMs: number;
  /** Order of arrival: breaks ties, so that a run is the same each time. */
  readonly order: number;
  readonly run: () => void;
}

const isBefore = (a: Entry, b: Entry) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** What will happen when, in simulated milliseconds; a binary heap by time, then by order of arrival. */
export class EventQueue {
  readonly #heap: Entry[] = [];
  #order = 0;
  #nowMs = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Runs `run` at that time, or now when it has passed. */
  at(atMs: number, run: () => void): void {
    const entry = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, run };
    this.#rise(entry);
  }

  /** Runs everything, what is added meanwhile too. */
  run(): void {
    for (let entry = this.#heap[0]; entry !== undefined; entry = this.#heap[0]) {
      this.#removeFirst();
      this.#nowMs = entry.atMs;
      entry.run();
    }
  }

  #rise(entry: Entry): void {
    let at = this.#heap.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = this.#heap[above];
      if (parent === undefined || !isBefore(entry, parent)) break;
      this.#heap[at] = parent;
      at = above;
    }
    this.#heap[at] = entry;
  }

  #removeFirst(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = this.#heap[2 * at + 1];
      if (left === undefined) break;
      const right = this.#heap[2 * at + 2];
      const [child, below] =
        right !== undefined && isBefore(right, left) ? [right, 2 * at + 2] : [left, 2 * at + 1];
      if (!isBefore(child, last)) break;
      this.#heap[at] = child;
      at = below;
    }
    this.#heap[at] = last;
  }
}
