import type { BenchPrompt } from "./prompts.ts";
import type { Contender } from "./result.ts";

/** One prompt, at one temperature, for the so-manieth time, by all contenders in turn. */
export interface Round {
  readonly prompt: BenchPrompt;
  /** Of its noise; the same for every contender and repeat. */
  readonly seed: number;
  readonly temperature: number;
  /** From 1; 0 warms up, and is not counted. */
  readonly repeat: number;
  /** In the order in which they take their turns. */
  readonly contenders: readonly Contender[];
}

export interface ScheduleOptions {
  readonly prompts: readonly BenchPrompt[];
  readonly contenders: readonly Contender[];
  readonly temperatures: readonly number[];
  readonly repeats: number;
  readonly seed: number;
}

/**
 * Contenders take turns within each round, so that what disturbs the machine disturbs them alike. Who begins
 * moves on by one from prompt to prompt and from repeat to repeat, and every other repeat runs backwards, so
 * that nobody always plays first or behind the same one.
 */
export function schedule({ prompts, contenders, temperatures, repeats, seed }: ScheduleOptions): Round[] {
  const rounds: Round[] = [];
  for (const temperature of temperatures) {
    for (let repeat = 0; repeat <= repeats; repeat++) {
      for (const [index, prompt] of (repeat === 0 ? prompts.slice(0, 1) : prompts).entries()) {
        const order = rotate(repeat % 2 === 0 ? contenders : contenders.toReversed(), index + repeat);
        rounds.push({ prompt, seed: seed + index, temperature, repeat, contenders: order });
      }
    }
  }
  return rounds;
}

function rotate<T>(list: readonly T[], by: number): T[] {
  const at = by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}
