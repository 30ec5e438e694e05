import type { Lane } from "./actor.ts";

/** First in, first out, in constant time on average. */
class Fifo<Item> {
  #items: (Item | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): Item | undefined {
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    if (this.#head < this.#items.length) this.#head++;
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

/**
 * What waits for an actor's next turns. Each lane holds at most `capacity` items; what comes when its lane is
 * full is dropped and counted: the newest goes, since its sender is the one who can notice and send again.
 * So a flood in the normal lane never keeps out urgent items.
 */
export class Mailbox<Item> {
  readonly #capacity: number;
  readonly #lanes: Readonly<Record<Lane, Fifo<Item>>> = { urgent: new Fifo(), normal: new Fifo() };
  #dropped = 0;
  #greatestDepth = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get depth(): number {
    return this.#lanes.urgent.length + this.#lanes.normal.length;
  }

  get greatestDepth(): number {
    return this.#greatestDepth;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** False when the item was dropped. */
  offer(item: Item, lane: Lane): boolean {
    if (this.#lanes[lane].length >= this.#capacity) {
      this.#dropped++;
      return false;
    }
    this.keep(item, lane);
    return true;
  }

  /** Takes the item even when its lane is full: for what the owner bounds itself, and can't do without. */
  keep(item: Item, lane: Lane): void {
    this.#lanes[lane].push(item);
    this.#greatestDepth = Math.max(this.#greatestDepth, this.depth);
  }

  /** The oldest urgent item, else the oldest normal one. */
  take(): Item | undefined {
    return this.#lanes.urgent.length > 0 ? this.#lanes.urgent.shift() : this.#lanes.normal.shift();
  }
}
