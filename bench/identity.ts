import { type MeasuredRun, REFERENCE } from "./result.ts";

/** An answer that is not the one that plain decoding gives: a lossless system has none. */
export interface DifferentAnswer {
  readonly policy: string;
  readonly prompt: string;
  readonly turn: number;
  readonly temperature: number;
  readonly repeat: number;
  /** Index of the first token that differs. */
  readonly at: number;
}

/**
 * Compares every answer with the first one of plain decoding to the same turn of the same prompt at the same
 * temperature; seeds go by prompt. Answers of other devices and links must be the same, too.
 */
export function differentAnswers(runs: readonly MeasuredRun[]): DifferentAnswer[] {
  const key = ({ prompt, turn, temperature }: MeasuredRun) => JSON.stringify([prompt, turn, temperature]);
  const reference = new Map<string, readonly number[]>();
  for (const run of runs) {
    if (run.policy === REFERENCE && !reference.has(key(run))) reference.set(key(run), run.tokens);
  }
  return runs.flatMap((run) => {
    const right = reference.get(key(run)) ?? [];
    const { policy, prompt, turn, temperature, repeat, tokens } = run;
    const length = Math.max(tokens.length, right.length);
    for (let at = 0; at < length; at++) {
      if (tokens[at] !== right[at]) return [{ policy, prompt, turn, temperature, repeat, at }];
    }
    return [];
  });
}
