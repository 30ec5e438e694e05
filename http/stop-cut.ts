/**
 * Cuts an answer before its leftmost stop string, however the text arrives in pieces: text that may be the
 * beginning of a stop string is held back until it is known.
 */
export class StopCut {
  readonly #stops: readonly string[];
  #held = "";
  #found = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** True once a stop string was found; nothing is shown from then on. */
  get found(): boolean {
    return this.#found;
  }

  /** Returns the text that may be shown now. */
  push(text: string): string {
    if (this.#found) return "";
    return this.#release(this.#held + text, true);
  }

  /** Returns what is left to show: no text comes after it. */
  end(): string {
    if (this.#found) return "";
    return this.#release(this.#held, false);
  }

  #release(text: string, more: boolean): string {
    this.#held = "";
    if (this.#stops.length === 0) return text;
    for (let at = 0; at < text.length; at++) {
      if (this.#stops.some((stop) => text.startsWith(stop, at))) {
        this.#found = true;
        return text.slice(0, at);
      }
      if (more && this.#mayBegin(text, at)) {
        this.#held = text.slice(at);
        return text.slice(0, at);
      }
    }
    return text;
  }

  #mayBegin(text: string, at: number): boolean {
    const rest = text.slice(at);
    return this.#stops.some((stop) => stop.startsWith(rest));
  }
}
