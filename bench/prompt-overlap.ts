import type { BenchPrompt } from "./prompts.ts";

/** Words in a row that two prompts must not share. */
export const SHARED_WORDS = 13;

/**
 * Finds prompts that must not be trained with: those that share a run of `SHARED_WORDS` words with one of the
 * prompts that drafters are measured on, whatever the case and punctuation. A shorter text of the latter counts
 * as shared when all its words occur in a row.
 */
export class PromptOverlap {
  /** Runs of words by their number, to look for no more runs than can be there. */
  readonly #runs = new Map<number, Map<string, string>>();

  constructor(measured: readonly BenchPrompt[]) {
    for (const { id, turns } of measured) {
      for (const turn of turns) {
        const words = wordsOf(turn);
        const length = Math.min(SHARED_WORDS, words.length);
        if (length === 0) continue;
        const known = this.#runs.get(length) ?? new Map<string, string>();
        for (const run of runsOf(words, length)) known.set(run, id);
        this.#runs.set(length, known);
      }
    }
  }

  /** Id of a measured prompt that this one overlaps with. */
  find({ turns }: Pick<BenchPrompt, "turns">): string | undefined {
    for (const turn of turns) {
      const words = wordsOf(turn);
      for (const [length, known] of this.#runs) {
        for (const run of runsOf(words, length)) {
          const id = known.get(run);
          if (id !== undefined) return id;
        }
      }
    }
    return undefined;
  }
}

const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

function* runsOf(words: readonly string[], length: number): Generator<string> {
  for (let start = 0; start + length <= words.length; start++) {
    yield words.slice(start, start + length).join(" ");
  }
}
